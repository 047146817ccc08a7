"""The vector environment is the single environments, byte for byte: steps, resets, modes, ways of stepping."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from gymnasium.envs.mujoco.half_cheetah_v5 import HalfCheetahEnv
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode, VectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st

from masklam_envs.batch import calls
from masklam_envs.batch.infos import merged
from masklam_envs.batch.physics import OneByOne, StepByAddress, make_physics
from masklam_envs.batch.runners import Runners
from masklam_envs.batch.threads import CHUNK, Threads
from masklam_envs.batch.tracks import BatchTrack
from masklam_envs.distractors import ActionReference, distractor_names, make_distractor, presets
from masklam_envs.distractors.procedural import ProceduralFootage
from masklam_envs.tasks import TASKS
from masklam_envs.vector import MaskVectorEnv

ALL_KEYS = ("pixels", "mask", "state", "clean")


def make_ours(env_id: str, count: int = 5, **kwargs: Any) -> MaskVectorEnv:
    envs = gym.make_vec(env_id, num_envs=count, **{"image_size": 32, **kwargs})
    assert isinstance(envs, MaskVectorEnv)
    return envs


def make_gymnasium(env_id: str, count: int = 5, kind: str = "sync", mode: str = "NextStep", **kwargs: Any) -> VectorEnv:
    options = {"autoreset_mode": mode}
    return gym.make_vec(
        env_id, num_envs=count, vectorization_mode=kind, vector_kwargs=options, **{"image_size": 32, **kwargs}
    )


def actions_for(envs: VectorEnv, steps: int, seed: int = 0) -> np.ndarray:
    space: Any = envs.action_space
    return np.random.default_rng(seed).uniform(space.low, space.high, (steps, *space.shape)).astype(np.float32)


def assert_equal(ours: Any, theirs: Any, where: str = "") -> None:
    """The same types, shapes and bytes, through dictionaries and arrays of dictionaries."""
    if isinstance(theirs, dict):
        assert set(ours) == set(theirs), where
        for key in theirs:
            assert_equal(ours[key], theirs[key], f"{where}/{key}")
    elif isinstance(theirs, tuple) or (isinstance(theirs, np.ndarray) and theirs.dtype == object):
        assert len(ours) == len(theirs), where
        for i, entry in enumerate(theirs):
            assert_equal(ours[i], entry, f"{where}[{i}]")
    elif theirs is not None:
        ours, theirs = np.asarray(ours), np.asarray(theirs)
        assert ours.dtype == theirs.dtype and ours.shape == theirs.shape, where
        assert ours.tobytes() == theirs.tobytes(), where
    else:
        assert ours is None, where


def assert_steps_agree(ours: VectorEnv, theirs: VectorEnv, steps: int = 20) -> int:
    """Run both with the same seeds and actions; how many episodes ended."""
    ended = 0
    assert ours.observation_space == theirs.observation_space and ours.action_space == theirs.action_space
    assert_equal(ours.reset(seed=3), theirs.reset(seed=3))
    for t, actions in enumerate(actions_for(ours, steps)):
        one, other = ours.step(actions), theirs.step(actions)
        assert_equal(one, other, f"step {t}: ")
        ended += int((one[2] | one[3]).sum())
    ours.close()
    theirs.close()
    return ended


# ------------------------------------------------------------------------------------------- the same as one by one


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
@pytest.mark.parametrize(
    ("env_id", "kwargs", "way"),
    [
        ("MaskCheetah-v0", {"max_episode_steps": 8}, Runners),
        ("MaskHopper-v0", {}, Runners),  # falls
        ("MaskWalker-v0", {"max_episode_steps": 15, "distractor": "none"}, Runners),
        ("MaskMujoco-v0", {"base": "Ant-v5", "max_episode_steps": 9, "distractor": "video"}, StepByAddress),
        ("MaskMujoco-v0", {"base": "InvertedPendulum-v5"}, StepByAddress),  # falls
        ("MaskMujoco-v0", {"base": "Reacher-v5", "max_episode_steps": 7}, StepByAddress),
    ],
)
def test_equals_sync(env_id: str, kwargs: dict[str, Any], way: type, mode: str) -> None:
    ours = make_ours(env_id, autoreset_mode=mode, observation=ALL_KEYS, threads=2, **kwargs)
    assert type(ours._physics) is way
    assert ours.metadata["autoreset_mode"] == AutoresetMode(mode)
    assert assert_steps_agree(ours, make_gymnasium(env_id, mode=mode, observation=ALL_KEYS, **kwargs)) > 0


def every_pair(fast: Callable[[str, str], bool]) -> Any:
    """Every registered environment with every registered distractor; what is not fast is marked slow."""
    pairs = [(env_id, distractor) for env_id in TASKS for distractor in distractor_names()]
    marks = [() if fast(*pair) else pytest.mark.slow for pair in pairs]
    return pytest.mark.parametrize(
        ("env_id", "distractor"), [pytest.param(*pair, marks=mark) for pair, mark in zip(pairs, marks, strict=True)]
    )


# One distractor that is drawn together and one that is not, in every environment; every distractor in one.
@every_pair(lambda env_id, distractor: env_id == "MaskCheetah-v0" or distractor in ("action-0.9", "everything"))
def test_every_environment_under_every_distractor_equals_sync(env_id: str, distractor: str) -> None:
    kwargs: dict[str, Any] = {"distractor": distractor, "observation": ALL_KEYS, "max_episode_steps": 5}
    # One step more than the ghost's lag, then a reset.
    assert assert_steps_agree(make_ours(env_id, 2, threads=2, **kwargs), make_gymnasium(env_id, 2, **kwargs), 7) > 0


@every_pair(lambda env_id, distractor: env_id == "MaskCheetah-v0" and distractor == "everything")
def test_every_environment_under_every_distractor_equals_async(env_id: str, distractor: str) -> None:
    kwargs: dict[str, Any] = {"distractor": distractor, "max_episode_steps": 5}
    assert assert_steps_agree(make_ours(env_id, 2, **kwargs), make_gymnasium(env_id, 2, "async", **kwargs), 7) > 0


@pytest.mark.parametrize(
    "distractor",
    [
        [{"name": "action", "lag": 3, "rank": 1, "ground_alpha": 0.5}, {"name": "video", "speed": 0.5}],
        ["video", "action"],
        ["video", "test-walk", "test-light"],
        ["test-turn", "video", "test-walk"],
        ["video", {"name": "action", "motion": ["speed", "rotation"], "gain": 4.0}],
        ["flat", "action"],
        {"name": "still", "ground_alpha": 0.5},
        [{"name": "video", "opacity": 0.4, "seed": 1}, {"name": "ghost", "opacity": 0.5}],
        [{"name": "flat", "opacity": 0.4, "split": "test"}, "action"],
        ["test-light"],
        [{"name": "state", "lag": 2}, "camera"],
        "everything",
        "ghost",
    ],
)
def test_distractors_that_are_moved_or_drawn_one_by_one(distractor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("Walk", "Turn", "Light"):
        monkeypatch.setitem(presets._PARTS, f"test-{name.lower()}", f"tests.vector_parts:{name}")
    kwargs: dict[str, Any] = {"distractor": distractor, "max_episode_steps": 6}
    assert_steps_agree(make_ours("MaskCheetah-v0", threads=2, **kwargs), make_gymnasium("MaskCheetah-v0", **kwargs), 14)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"mask_faults": [{"name": "latency", "frames": 2}, "erosion", "flicker"], "max_episode_steps": 6},
        {"mask_faults": ["ghost", {"name": "latency", "frames": 1}], "distractor": ["video", "ghost"]},
        {"camera": {"lookat": [0, 0, 0], "distance": 3, "track": "torso"}, "zoom": 1.0, "camera_offset": (0.0, 0.0)},
        {"observation": "mask", "base_kwargs": {"exclude_current_positions_from_observation": False}},
        {"observation": "state", "base_kwargs": {"forward_reward_weight": 2.5, "ctrl_cost_weight": 0.3}},
    ],
)
def test_other_views(kwargs: dict[str, Any]) -> None:
    assert_steps_agree(make_ours("MaskCheetah-v0", **kwargs), make_gymnasium("MaskCheetah-v0", **kwargs), 12)


@pytest.mark.usefixtures("needs_opengl")
def test_views_by_opengl() -> None:
    kwargs = {"renderer": "opengl"}
    assert_steps_agree(make_ours("MaskCheetah-v0", **kwargs), make_gymnasium("MaskCheetah-v0", **kwargs), 12)


def test_number_of_threads_changes_nothing() -> None:
    one, three = make_ours("MaskHopper-v0", 13, threads=1), make_ours("MaskHopper-v0", 13, threads=3)
    assert (one._threads.count, three._threads.count) == (1, 3)
    assert assert_steps_agree(three, one, 30) > 0


def test_is_the_default_of_make_vec_and_its_spec_survives_json() -> None:
    envs = make_ours("MaskCheetah-v0", 2, distractor="video", autoreset_mode="SameStep")
    spec: Any = envs.spec
    again = gym.make_vec(EnvSpec.from_json(spec.to_json()))
    assert type(again) is MaskVectorEnv and again.num_envs == 2
    assert again.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    assert_equal(again.reset(seed=1), envs.reset(seed=1))


def test_actions_are_clipped_as_in_a_single_environment() -> None:
    ours, single = make_ours("MaskCheetah-v0", 1), gym.make("MaskCheetah-v0", image_size=32)
    ours.reset(seed=0), single.reset(seed=0)
    wild = np.array([[3.0, -2, 0.5, 1.5, -9, 0]])
    one, other = ours.step(wild), single.step(wild[0])
    assert one[1][0] == other[1]
    assert np.array_equal(one[0]["pixels"][0], other[0]["pixels"])


def test_footage_is_asked_for_a_frame_only_where_another_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    frame = ProceduralFootage.frame

    def counted(self: Any, clip: int, index: int) -> Any:
        asked.append((clip, index))
        return frame(self, clip, index)

    monkeypatch.setattr(ProceduralFootage, "frame", counted)
    envs = make_ours("MaskCheetah-v0", 4, distractor="action", max_episode_steps=3)
    envs.reset(seed=0)
    counts = []
    for actions in actions_for(envs, 5):
        envs.step(actions)
        counts.append(len(asked))
    assert counts == [4, 4, 4, 8, 8]


def test_footage_that_the_kernel_cannot_read_is_the_renderers_to_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = ProceduralFootage.frame
    monkeypatch.setattr(ProceduralFootage, "frame", lambda *place: frame(*place)[:, ::-1])  # not contiguous
    kwargs: dict[str, Any] = {"distractor": "still"}
    assert_steps_agree(make_ours("MaskCheetah-v0", **kwargs), make_gymnasium("MaskCheetah-v0", **kwargs), 2)
    monkeypatch.setattr(ProceduralFootage, "frame", lambda *place: frame(*place)[:20])
    with pytest.raises(ValueError, match="image_size"):
        make_ours("MaskCheetah-v0", **kwargs).reset(seed=0)


# ------------------------------------------------------------------------------------------------- resets and modes


def test_disabled_autoreset_and_partial_resets_equal_sync() -> None:
    kwargs: dict[str, Any] = {"max_episode_steps": 30, "observation": ALL_KEYS}
    ours = make_ours("MaskHopper-v0", 4, autoreset_mode="Disabled", **kwargs)
    theirs = make_gymnasium("MaskHopper-v0", 4, mode="Disabled", **kwargs)
    ours.reset(seed=0), theirs.reset(seed=0)
    resets = 0
    for actions in actions_for(ours, 40):
        one, other = ours.step(actions), theirs.step(actions)
        assert_equal(one, other)
        ended = one[2] | one[3]
        if ended.any():
            with pytest.raises(gym.error.ResetNeeded, match="reset_mask"):
                ours.step(actions)
            seeds: Any = [10 + resets, None, 12, None]
            # Gymnasium takes the entry out of the dictionary it is given.
            options = {"reset_mask": ended}
            assert_equal(ours.reset(seed=seeds, options=options), theirs.reset(seed=seeds, options=dict(options)))
            assert "reset_mask" in options
            resets += 1
    assert resets > 2


def test_partial_reset_in_next_step_mode() -> None:
    ours, theirs = make_ours("MaskHopper-v0", 3), make_gymnasium("MaskHopper-v0", 3)
    ours.reset(seed=0), theirs.reset(seed=0)
    for t, actions in enumerate(actions_for(ours, 60)):
        assert_equal(ours.step(actions), theirs.step(actions))
        if t % 7 == 0:
            mask = np.array([t % 2 == 0, False, True])
            assert_equal(ours.reset(options={"reset_mask": mask}), theirs.reset(options={"reset_mask": mask}))


def test_options_reach_every_environment() -> None:
    envs = make_ours("MaskCheetah-v0", 3)
    _, infos = envs.reset(seed=0, options={"distractor_seed": 7})
    assert infos["distractor_seed"].tolist() == [7, 7, 7]
    with pytest.raises(ValueError, match=r"must be a whole number in \[0, 2\*\*63\), got 1.7"):
        envs.reset(options={"distractor_seed": 1.7})


def test_fresh_arrays_unless_asked() -> None:
    fresh, reused = make_ours("MaskCheetah-v0", 2), make_ours("MaskCheetah-v0", 2, copy=False)
    actions = actions_for(fresh, 2)
    for envs, same in ((fresh, False), (reused, True)):
        envs.reset(seed=0)
        first, second = envs.step(actions[0])[0], envs.step(actions[1])[0]
        assert np.shares_memory(first["pixels"], second["pixels"]) == same
    assert np.array_equal(first["mask"], second["mask"])
    with_copy = fresh.step(actions[0])[0]
    with_copy["pixels"][:] = 0  # is the caller's
    assert fresh._images["pixels"].any()


@pytest.mark.parametrize(
    ("kwargs", "error", "match"),
    [
        ({"num_envs": 0}, ValueError, "at least 1"),
        ({"threads": 0}, ValueError, "at least 1"),
        ({"max_episode_steps": 0}, ValueError, "max_episode_steps"),
        ({"autoreset_mode": "NextStop"}, ValueError, "NextStep"),
        ({"base": gym.make("HalfCheetah-v5")}, TypeError, "SyncVectorEnv"),
    ],
)
def test_bad_arguments(kwargs: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        MaskVectorEnv(**{"num_envs": 2, "base": "HalfCheetah-v5", **kwargs})


def test_bad_calls() -> None:
    envs = make_ours("MaskCheetah-v0", 2)
    with pytest.raises(gym.error.ResetNeeded):
        envs.step(envs.action_space.sample())
    with pytest.raises(gym.error.ResetNeeded):
        envs.reset(options={"reset_mask": np.array([True, False])})
        envs.step(envs.action_space.sample())
    envs.reset(seed=0)
    with pytest.raises(ValueError, match=r"\(2, 6\)"):
        envs.step(np.zeros((3, 6)))
    with pytest.raises(ValueError, match=r"environments \[1\]"):
        envs.step(np.array([[0] * 6, [0, 0, np.nan, 0, 0, 0]]))
    with pytest.raises(ValueError, match="one for each of 2"):
        envs.reset(seed=[1, 2, 3])
    with pytest.raises(TypeError, match="reset_mask"):
        envs.reset(options={"reset_mask": [True, False]})
    with pytest.raises(ValueError, match="reset_mask"):
        envs.reset(options={"reset_mask": np.zeros(2, np.bool_)})


def test_attributes_of_the_environments() -> None:
    envs = make_ours("MaskCheetah-v0", 3, render_mode="rgb_array")
    envs.reset(seed=5)
    assert envs.np_random_seed == (5, 6, 7) and len(envs.np_random) == 3
    envs.set_attr("note", ["a", "b", "c"])
    assert envs.get_attr("note") == envs.call("note") == ("a", "b", "c")
    with pytest.raises(ValueError, match="one value for each"):
        envs.set_attr("note", ["a"])
    with pytest.raises(ValueError, match="vector environment"):
        envs.call("step", np.zeros(6))
    observations, *_ = envs.step(actions_for(envs, 1)[0])
    for frames in (envs.render(), envs.call("render")):
        assert len(frames) == 3
        assert all(np.array_equal(*pair) for pair in zip(frames, observations["pixels"], strict=True))
    with pytest.raises(AttributeError, match="no track of their own"):
        envs.get_attr("track")
    assert make_ours("MaskCheetah-v0", 1).render() is None
    assert make_ours("MaskCheetah-v0", 2).call("render") == (None, None)


class NamedStates(gym.ObservationWrapper):
    """States by name."""

    def __init__(self) -> None:
        super().__init__(gym.make("Reacher-v5"))
        self.observation_space = gym.spaces.Dict({"all": self.env.observation_space})

    def observation(self, observation: Any) -> Any:
        return {"all": observation}


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_states_of_several_arrays_are_fresh_as_well(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(gym.registry, "Named-v0", EnvSpec("Named-v0", NamedStates, max_episode_steps=3))
    kwargs = {"base": "Named-v0", "observation": ("mask", "state"), "max_episode_steps": 3}
    ours = make_ours("MaskMujoco-v0", 2, autoreset_mode=mode, **kwargs)
    assert assert_steps_agree(ours, make_gymnasium("MaskMujoco-v0", 2, mode=mode, **kwargs), 8)
    first, _ = ours.reset(seed=0)
    kept = first["state"]["all"].copy()
    ours.step(actions_for(ours, 1)[0])
    assert np.array_equal(first["state"]["all"], kept)


def test_a_pickled_copy_is_a_new_one_that_needs_a_reset() -> None:
    envs = make_ours("MaskCheetah-v0", 2)
    expected = envs.reset(seed=1)
    again = pickle.loads(pickle.dumps(envs))
    with pytest.raises(gym.error.ResetNeeded):
        again.step(envs.action_space.sample())
    assert_equal(again.reset(seed=1), expected)


# ------------------------------------------------------------------------------------------------ ways of stepping


class TwiceCheetah(HalfCheetahEnv):
    """Simulates twice a step, the second time with another action."""

    def step(self, action: Any) -> Any:
        x_before = self.data.qpos[0]
        self.do_simulation(action, self.frame_skip)
        self.do_simulation(action * 0.5, 2)
        return self._get_obs(), float(self.data.qpos[0] - x_before), False, False, {"kind": "twice"}


class ScaledCheetah(HalfCheetahEnv):
    """Simulates another action than it is given."""

    def step(self, action: Any) -> Any:
        return super().step(0.25 * action)


class MovedCheetah(HalfCheetahEnv):
    """Changes its model at every reset."""

    def reset_model(self) -> Any:
        self.model.body_pos[1, 2] = self.np_random.uniform(0, 0.3)
        return super().reset_model()


def test_an_environment_that_changes_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = EnvSpec("MovedCheetah-v0", "tests.test_vector:MovedCheetah")
    monkeypatch.setitem(gym.registry, spec.id, spec)
    kwargs: dict[str, Any] = {"base": spec.id, "max_episode_steps": 3, "observation": ALL_KEYS}
    ours = make_ours("MaskMujoco-v0", 3, threads=2, **kwargs)
    assert type(ours._physics) is OneByOne
    assert assert_steps_agree(ours, make_gymnasium("MaskMujoco-v0", 3, **kwargs), 8) > 0
    assert ours._images["mask"][0].tobytes() != ours._images["mask"][1].tobytes()


def bases(cls: type, count: int) -> list[Any]:
    made = [cls() for _ in range(count)]
    for i, base in enumerate(made):
        base.reset(seed=i)
    return made


@pytest.mark.parametrize("cls", [HalfCheetahEnv, TwiceCheetah, ScaledCheetah])
@pytest.mark.parametrize("way", [OneByOne, StepByAddress])
def test_environments_own_step(cls: type, way: type) -> None:
    ours, theirs = bases(cls, 3), bases(cls, 3)
    physics, moves = way(ours), np.array([True, True, False])
    for actions in np.random.default_rng(0).uniform(-1, 1, (6, 3, 6)).astype(np.float32):
        physics.read()
        physics.begin(moves, actions)
        physics.run(0, 0, 3)
        outcomes = physics.end()
        for i in range(2):
            state, reward, _, _, info = theirs[i].step(actions[i])
            assert np.array_equal(outcomes.states[i], state) and outcomes.rewards[i] == reward
            assert outcomes.infos[i] == info
    assert all(np.array_equal(a.data.qpos, b.data.qpos) for a, b in zip(ours, theirs, strict=True))
    assert np.array_equal(physics.qpos, np.stack([base.data.qpos for base in theirs]))
    assert all("do_simulation" not in vars(base) for base in ours)


def test_environments_of_others_are_stepped_by_themselves() -> None:
    assert type(make_physics(bases(TwiceCheetah, 2))) is OneByOne


@pytest.mark.parametrize("change", ["data", "model", "in place", "force"])
@pytest.mark.parametrize("way", [StepByAddress, Runners])
def test_changes_between_steps_are_found(way: type, change: str) -> None:
    [ours], [theirs] = bases(HalfCheetahEnv, 1), bases(HalfCheetahEnv, 1)
    physics, action = way([ours]), np.full((1, 6), 0.3, np.float32)
    for t in range(4):
        for base in (ours, theirs) if t == 2 else ():
            if change == "in place":
                base.model.body_mass[2] *= 2
            elif change == "force":
                base.data.xfrc_applied[1, 0] = 30.0
            else:
                base.model = base.model if change == "data" else HalfCheetahEnv().model
                base.data = mujoco.MjData(base.model)
        physics.read()
        physics.begin(np.ones(1, np.bool_), action)
        physics.run(0, 0, 1)
        assert physics.end().rewards[0] == theirs.step(action[0])[1]
        assert np.array_equal(ours.data.qpos, theirs.data.qpos) and ours.data.time == theirs.data.time


def test_python_callbacks_of_the_physics_are_called() -> None:
    def slow_down(model: Any, data: Any) -> None:
        data.qfrc_passive[:] -= 0.3 * data.qvel

    envs = make_ours("MaskCheetah-v0", 6, threads=2)
    actions = actions_for(envs, 3)
    plain = [envs.reset(seed=0)[0]["pixels"]] + [envs.step(a)[1] for a in actions]
    theirs = make_gymnasium("MaskCheetah-v0", 6)
    mujoco.set_mjcb_passive(slow_down)
    try:
        envs.reset(seed=0), theirs.reset(seed=0)
        for t, a in enumerate(actions):
            ours_reward = envs.step(a)[1]
            assert np.array_equal(ours_reward, theirs.step(a)[1])
            assert not np.array_equal(ours_reward, plain[t + 1])
    finally:
        mujoco.set_mjcb_passive(None)


# ------------------------------------------------------------------------------------------------------- the pieces


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=5), st.booleans())
def test_infos_are_gymnasiums(which: list[tuple[bool, bool]], as_columns: bool) -> None:
    class Bare(VectorEnv):
        num_envs = len(which)

    moves = np.array([moved for moved, _ in which])
    stepped = [{"x": np.float64(i + 0.5), "c": np.float32(-i)} for i in range(len(which))]
    if not as_columns:
        stepped = [{**info, "name": "a", "v": np.arange(2) + i, "d": {"y": i}} for i, info in enumerate(stepped)]
    started = [None if moved or not begun else {"x": np.float64(9), "seed": 4} for moved, begun in which]
    expected: dict[str, Any] = {}
    for i in range(len(which)):
        info = stepped[i] if moves[i] else started[i]
        if info is not None:
            expected = Bare()._add_info(expected, info, i)
    given: Any = stepped
    if as_columns:
        given = {"x": np.array([i["x"] for i in stepped]), "c": np.array([i["c"] for i in stepped], np.float32)}
    assert_equal(merged(given, moves, started), expected)


def test_threads_share_out_everything_once() -> None:
    threads = Threads(3)
    for size in (1, CHUNK, 5 * CHUNK + 1):
        done: list[int] = []
        threads.run(lambda worker, first, last, done=done: done.extend(range(first, last)), size)
        assert sorted(done) == list(range(size))
    threads.close()
    threads.run(lambda worker, first, last: None, 20)  # starts anew


def test_an_error_in_a_thread_is_raised() -> None:
    def fail(worker: int, first: int, last: int) -> None:
        if first >= CHUNK:
            raise KeyError(first)

    with pytest.raises(KeyError):
        Threads(2).run(fail, 10 * CHUNK)


@settings(max_examples=10)
@given(st.data())
def test_tracks_together_are_live_tracks(data: st.DataObject) -> None:
    reference = ActionReference.uniform([-1, -1, -1], [1, 1, 1])
    config: Any = [{"name": "action", "lag": data.draw(st.integers(0, 3))}, {"name": "video", "speed": 0.3}]
    config += data.draw(st.sampled_from([[], ["occluders"]]))
    distractor = make_distractor(config, action_reference=reference, image_size=16)
    together, rng = BatchTrack(distractor, 3), np.random.default_rng(0)
    alone = [distractor.live(seed) for seed in range(3)]
    for i in range(3):
        together.start(i, distractor.live(i))
    for t in range(150):  # more than are drawn ahead
        which = np.flatnonzero(rng.random(3) < 0.8)
        actions, states = rng.uniform(-1, 1, (3, 3)).astype(np.float32), rng.normal(size=(3, 4)).astype(np.float32)
        together.step(which, actions[which], states[which])
        for i in which.tolist():
            alone[i].step(actions[i], states[i])
        if t % 40 == 39:
            alone[1] = distractor.live(t)
            together.start(1, distractor.live(t))
        assert all(np.array_equal(together.rows[i], alone[i].row) for i in range(3))


def test_no_cached_kernel_holds_a_number_of_this_mujoco():
    # Numba caches code with the values of its globals, and the cache outlives the MuJoCo it was made with.
    for kernel in (calls.step_states, calls.step_environments, calls.read_states):
        assert "WHOLE_STATE" not in kernel.py_func.__code__.co_names


def test_nothing_is_written_where_one_works(tmp_path, monkeypatch, capfd):
    """MuJoCo warns of the cheetah's model into the terminal and a file of the working directory."""
    monkeypatch.chdir(tmp_path)
    gym.make_vec("MaskCheetah-v0", num_envs=2).close()
    assert (list(tmp_path.iterdir()), capfd.readouterr().err) == ([], "")
