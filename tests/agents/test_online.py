"""Reinforcement learning from a cloned policy, and in the latent space."""

import copy

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from stable_baselines3 import A2C, PPO, SAC
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

import masklam_agents
from masklam_agents import BC, IDM, LAPO, LatentActionEnv, MaskLAM, stacked_env
from masklam_agents.common.gather import gather
from masklam_agents.common.online import StackedPixels, network_input, online_model
from masklam_agents.common.policies import evaluating
from masklam_agents.common.stacking import push
from masklam_envs.wrappers import FrameStack
from tests.agents.conftest import SIZE, make_env

TINY = {"batch_size": 16}
LATENT = {"latent_dim": 8, "future_offset": 2, "labels": 50, **TINY}
SMALL = {"n_steps": 32, "batch_size": 32, "n_epochs": 2}


@pytest.fixture(scope="module")
def trained(frames):
    return {
        "MaskLAM": MaskLAM(dataset=frames, **LATENT).learn(16 * 60),
        "BC": BC(dataset=frames, **TINY).learn(16 * 60),
        "impala": LAPO(dataset=frames, network="impala", **LATENT).learn(16 * 8),
    }


@pytest.mark.parametrize("name", masklam_agents.__all__)
def test_public_names_exist(name):
    assert getattr(masklam_agents, name).__name__ == name


def weights(module) -> dict[str, th.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def equal(a, b) -> bool:
    return all(th.equal(x, y) for x, y in zip(a.values(), b.values(), strict=True))


def envs(count: int) -> DummyVecEnv:
    return DummyVecEnv([lambda: Monitor(make_env())] * count)


@pytest.mark.parametrize("layout", ["patches", "image"])
def test_the_networks_input_is_what_training_gathers(layout):
    frames = np.random.default_rng(0).integers(256, size=(6, 16, 16, 4), dtype=np.uint8)
    index = np.arange(6).reshape(2, 3)
    stacks = frames[index][..., :3].transpose(0, 1, 4, 2, 3).reshape(2, 9, 16, 16)
    x = network_input(th.from_numpy(stacks).float(), layout)
    x = x.permute(0, 2, 3, 1) if layout == "image" else x
    assert np.allclose(x.numpy(), gather(frames, index, mask_channel=False, layout=layout), atol=1e-6)


def test_stacks_are_those_of_the_frame_stacking_environment_to_the_last_observation_of_an_episode():
    alone = FrameStack(make_env(), 3)
    stacked = StackedPixels(DummyVecEnv([make_env]), 3, SIZE)
    stacked.seed(4)
    actions = np.random.default_rng(0).uniform(-1, 1, (20, 1, 6)).astype(np.float32)
    seen, expected = stacked.reset(), alone.reset(seed=4)[0]
    for t, action in enumerate(actions):
        assert np.array_equal(seen[0], expected["pixels"].transpose(2, 0, 1))
        seen, _, dones, infos = stacked.step(action)
        expected, *_ = alone.step(action[0])
        assert dones[0] == (t == 19)
    assert np.array_equal(infos[0]["terminal_observation"], expected["pixels"].transpose(2, 0, 1))
    first = seen[0].reshape(3, 3, SIZE, SIZE)
    assert np.array_equal(first[0], first[1]) and np.array_equal(first[1], first[2])


@pytest.mark.parametrize("name", ["MaskLAM", "BC", "impala"])
@pytest.mark.parametrize("algorithm", ["PPO", "A2C"])
def test_the_first_actions_are_the_cloned_policys(name, algorithm, trained):
    agent = copy.deepcopy(trained[name])
    reference = copy.deepcopy(agent)
    model = online_model(agent, envs(3), algorithm, trained="all", normalize_reward=True)
    observation, state = model.env.reset(), None
    for _ in range(5):
        action, _ = model.predict(observation, deterministic=True)
        raw = np.moveaxis(observation, 1, -1)[..., -3:]
        expected, state = reference.predict(raw, state)
        assert np.allclose(action, expected, atol=2e-5)
        observation, *_ = model.env.step(action)
    assert np.allclose(model.policy.log_std.detach().exp().numpy(), 0.3)


def test_finetuning_moves_the_agents_own_weights_and_leaves_what_it_should(trained):
    agent = copy.deepcopy(trained["MaskLAM"])
    before = {name: weights(getattr(agent.policy, name)) for name in ("idm", "fdm", "actor", "decoder")}
    model = agent.finetune(envs(2), 192, learning_rate=1e-3, **SMALL)
    after = {name: weights(getattr(agent.policy, name)) for name in before}
    assert model.num_timesteps == 192
    assert {name for name in before if not equal(before[name], after[name])} == {"actor", "decoder"}
    assert agent.policy.actor is model.policy.pi_features_extractor.actor
    pixels = model.env.reset()
    expected, _ = model.predict(pixels, deterministic=True)
    assert np.allclose(agent.predict(pixels)[0], expected, atol=2e-5)
    mean, _ = evaluate_policy(agent, Monitor(make_env()), n_eval_episodes=1)
    online, _ = evaluate_policy(model, stacked_env(make_env(), 3, SIZE), n_eval_episodes=1)
    assert np.isfinite([mean, online]).all()


def test_a_saved_agent_and_a_saved_model_act_as_before_and_the_model_goes_on(trained, tmp_path):
    agent = copy.deepcopy(trained["MaskLAM"])
    model = agent.finetune(envs(2), 128, trained="decoder", **SMALL)
    agent.save("agent")
    model.save(tmp_path / "model.zip")
    loaded_agent, loaded = MaskLAM.load("agent"), PPO.load(tmp_path / "model.zip", env=model.get_env())
    pixels = model.env.reset()
    expected, _ = model.predict(pixels, deterministic=True)
    assert np.array_equal(loaded.predict(pixels, deterministic=True)[0], expected)
    assert np.allclose(loaded_agent.predict(pixels)[0], expected, atol=2e-5)
    assert equal(weights(model.policy), weights(loaded.policy))
    actor, decoder = weights(loaded.policy.pi_features_extractor), weights(loaded.policy.action_net)
    loaded.learn(64, reset_num_timesteps=False)
    assert loaded.num_timesteps == 192
    assert equal(actor, weights(loaded.policy.pi_features_extractor))
    assert not equal(decoder, weights(loaded.policy.action_net))


class Watch(BaseCallback):
    """Actor and critic at the end of every rollout."""

    def __init__(self):
        super().__init__()
        self.actors, self.critics = [], []

    def _on_step(self):
        return True

    def _on_rollout_end(self):
        self.actors.append(weights(self.model.policy.action_net))
        self.critics.append(weights(self.model.policy.value_net))


def test_the_critic_alone_learns_in_the_warm_up(trained):
    watch = Watch()
    copy.deepcopy(trained["MaskLAM"]).finetune(envs(2), 64 * 4, warm_up=0.75, callback=watch, **SMALL)
    same = [equal(a, b) for a, b in zip(watch.actors, watch.actors[1:], strict=False)]
    assert same == [True, True, False]
    assert not any(equal(a, b) for a, b in zip(watch.critics, watch.critics[1:], strict=False))


def test_one_seed_gives_equal_weights(trained):
    a, b = (copy.deepcopy(trained["MaskLAM"]) for _ in range(2))
    for agent in (a, b):
        agent.finetune(envs(2), 128, **SMALL)
    assert equal(weights(a.policy), weights(b.policy))


def test_an_agent_from_scratch_takes_its_inputs_statistics_before_the_first_action():
    agent = MaskLAM(env=make_env(), latent_dim=8)
    model = online_model(agent, envs(2), "PPO", trained="all", normalize_reward=False)
    assert all(bool(tokens.embed.fitted) for tokens in (agent.policy.actor.tokens,))
    before = model.policy.pi_features_extractor.actor.tokens.embed.whitening.clone()
    model.policy.set_training_mode(True)
    model.policy.extract_features(th.rand(4, 9, SIZE, SIZE) * 255)
    assert th.equal(before, agent.policy.actor.tokens.embed.whitening)


def test_a_decoder_without_labels_reads_latents_in_their_scale(frames):
    agent = LAPO(dataset=frames, **{**LATENT, "stage_shares": (1, 1, 0), "precision": "fp32"}).learn(16 * 40)
    online_model(agent, envs(1), "A2C", trained="all", normalize_reward=False)
    decoder = agent.policy.decoder
    z = agent.latents(frames, agent.windows(frames).anchors)
    assert np.allclose(decoder.mean, z.mean(0), atol=1e-4)
    spread = ((z - decoder.mean.numpy()) / decoder.scale.numpy()).std(0)
    assert (spread > 0.2).all() and (spread <= 1.01).all()


def test_nothing_of_a_warm_up_is_left_when_training_was_stopped_in_it(trained):
    agent = copy.deepcopy(trained["MaskLAM"])
    model = agent.finetune(envs(2), 64 * 4, warm_up=0.9, callback=lambda *_: False, **SMALL)
    before = weights(agent.policy.actor)
    model.learn(64 * 2)
    assert not equal(before, weights(agent.policy.actor))


def test_a_warm_up_of_all_steps_never_moves_the_actor(trained):
    agent = copy.deepcopy(trained["MaskLAM"])
    before = weights(agent.policy.actor), weights(agent.policy.decoder)
    agent.finetune(envs(2), 64 * 3, warm_up=1.0, **SMALL)
    assert equal(before[0], weights(agent.policy.actor)) and equal(before[1], weights(agent.policy.decoder))


def test_an_agent_whose_decoder_alone_was_tuned_can_be_cloned_again(trained):
    agent = copy.deepcopy(trained["MaskLAM"])
    agent.finetune(envs(2), 64, trained="decoder", **SMALL)
    assert all(parameter.requires_grad for parameter in agent.policy.actor.parameters())
    before = weights(agent.policy.actor)
    agent.clone(64)
    assert not equal(before, weights(agent.policy.actor))


def test_an_agent_answers_as_when_trained_though_sb3_trains_its_modules(trained):
    policy = copy.deepcopy(trained["MaskLAM"].policy)
    policy.set_training_mode(False)
    policy.actor.train()
    with evaluating(policy):
        assert not any(module.training for module in policy.modules())
    assert policy.actor.training and not policy.training and not policy.idm.training


def test_what_finetune_does_not_take_is_named(trained):
    with pytest.raises(ValueError, match="policy_kwargs of finetune hold activation_fn, net_arch, which the agent"):
        kwargs = {"net_arch": [8], "activation_fn": th.nn.Tanh}
        copy.deepcopy(trained["MaskLAM"]).finetune(envs(1), 64, policy_kwargs=kwargs)
    with pytest.raises(ValueError, match="BC has no decoder, its policy acts: use trained='all'"):
        copy.deepcopy(trained["BC"]).finetune(envs(1), 64, trained="decoder")
    with pytest.raises(TypeError, match="one of Gymnasium's vector environments"):
        trained["BC"].finetune(gym.make_vec("MaskReacher-v0", num_envs=2, image_size=SIZE), 64)
    with pytest.raises(TypeError, match="the latents of IDM are actions: act in the environment itself"):
        LatentActionEnv(make_env(), IDM(env=make_env()))


def test_mistakes_are_named(trained):
    agent = trained["MaskLAM"]
    with pytest.raises(ValueError, match="Did you mean 'PPO'"):
        agent.finetune(make_env(), 10, algorithm="PP0")
    with pytest.raises(ValueError, match="unknown part to train"):
        agent.finetune(make_env(), 10, trained="critic")
    with pytest.raises(ValueError, match="warm_up is a share"):
        agent.finetune(make_env(), 10, warm_up=2_000)
    for steps in (0, "many"):
        with pytest.raises(ValueError, match=f"total_timesteps must be at least one step, got {steps!r}"):
            agent.finetune(make_env(), steps)
    hopper = gym.make("MaskHopper-v0", image_size=SIZE)
    with pytest.raises(ValueError, match="the agent acts in"):
        agent.finetune(hopper, 10)
    with pytest.raises(ValueError, match="the agent acts in"):
        LatentActionEnv(hopper, agent)
    with pytest.raises(TypeError, match="latent actions, got BC"):
        LatentActionEnv(make_env(), trained["BC"])
    with pytest.raises(ValueError, match="decoder is not trained"):
        LatentActionEnv(make_env(), MaskLAM(env=make_env(), latent_dim=8))
    with pytest.raises(ValueError, match="bound must be"):
        LatentActionEnv(make_env(), agent, bound=0)
    with pytest.raises(TypeError, match="needs an environment, got 'MaskReacher-v0': gym.make makes one"):
        LatentActionEnv("MaskReacher-v0", agent)
    with pytest.raises(ValueError, match=r"a latent action has shape \(\d+,\), got \(5,\)"):
        LatentActionEnv(make_env(), agent).action(np.zeros(5))


def test_the_latent_environment_reads_an_agents_file_and_its_spec_survives_json(trained, tmp_path):
    trained["MaskLAM"].save("agent")
    env = LatentActionEnv(make_env(), "agent", bound=2.0)
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    action = env.action_space.sample()
    assert again.action_space == env.action_space == gym.spaces.Box(-2, 2, (8,), np.float32)
    assert np.array_equal(again.action(action), LatentActionEnv(make_env(), trained["MaskLAM"], 2.0).action(action))


def test_the_cloned_policys_latents_do_in_the_latent_environment_what_its_actions_do_outside(trained):
    agent = trained["MaskLAM"]
    latent, plain = LatentActionEnv(make_env(), agent), make_env()
    (seen, _), (expected, _) = latent.reset(seed=3), plain.reset(seed=3)
    assert latent.action_space.shape == (8,)
    state, stack = None, None
    for _ in range(10):
        stacks, stack = push(seen["pixels"][None], 3, stack, None)
        pixels = th.from_numpy(stacks.transpose(0, 1, 4, 2, 3).reshape(1, 9, SIZE, SIZE)).float()
        with th.no_grad():
            coordinates = agent.policy.actor(network_input(pixels, agent.policy.policy_layout))[0].numpy()
        action, state = agent.predict(expected, state)
        assert np.allclose(latent.action(coordinates), action, atol=1e-4)
        seen, expected = latent.step(coordinates)[0], plain.step(latent.action(coordinates))[0]
        assert np.array_equal(seen["pixels"], expected["pixels"])


@pytest.mark.parametrize(
    ("algorithm", "options"),
    [(PPO, SMALL), (A2C, {"n_steps": 16}), (SAC, {"buffer_size": 100, "learning_starts": 20, "batch_size": 16})],
)
def test_algorithms_of_sb3_train_in_the_latent_space(algorithm, options, trained):
    env = Monitor(FrameStack(LatentActionEnv(make_env(), trained["MaskLAM"]), 3))
    model = algorithm("CnnPolicy", PixelsOnly(env), policy_kwargs={"features_extractor_class": Few}, **options)
    before = weights(model.policy)
    model.learn(64)
    assert not equal(before, weights(model.policy))
    assert np.isfinite(evaluate_policy(model, PixelsOnly(env), n_eval_episodes=1)[0])


class PixelsOnly(gym.ObservationWrapper):
    def __init__(self, env):
        super().__init__(env)
        self.observation_space = env.observation_space["pixels"]

    def observation(self, observation):
        return observation["pixels"]


class Few(th.nn.Module):
    """SB3's CNN needs 36 pixels a side; this one looks at every eighth."""

    features_dim = 9 * 16

    def __init__(self, observation_space):
        super().__init__()

    def forward(self, pixels):
        return pixels[:, :, ::8, ::8].flatten(1)


@pytest.mark.parametrize(("warm_up", "moved"), [(0.05, False), (0.0, True)])
def test_a_warm_up_holds_the_actor_for_one_update_at_least(trained, warm_up, moved):
    """However long a rollout is beside the whole."""
    agent = copy.copy(trained["MaskLAM"])
    agent.policy = copy.deepcopy(agent.policy)
    before = {name: x.clone() for name, x in agent.policy.state_dict().items()}
    agent.finetune(make_env(), SMALL["n_steps"], warm_up=warm_up, **SMALL)
    after = agent.policy.state_dict()
    names = [name for name in before if name.startswith(("actor", "decoder")) and "weight" in name]
    assert any(not th.equal(before[name], after[name]) for name in names) == moved


def test_a_saved_model_goes_on_with_the_rewards_scale(trained, tmp_path, monkeypatch):
    """As docs/finetuning.md says: what rewards are divided by is not in SB3's file."""
    monkeypatch.chdir(tmp_path)
    agent = copy.copy(trained["MaskLAM"])
    agent.policy = copy.deepcopy(agent.policy)
    model = agent.finetune(make_env(), 64, **SMALL)
    model.save("finetuned_ppo")
    model.get_vec_normalize_env().save("rewards.pkl")
    stacked = stacked_env(make_env(), 3, SIZE)
    again = PPO.load("finetuned_ppo", env=VecNormalize.load("rewards.pkl", stacked))
    assert again.get_vec_normalize_env().ret_rms.var == model.get_vec_normalize_env().ret_rms.var
    again.learn(32, reset_num_timesteps=False)
