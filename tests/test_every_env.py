"""What every registered environment promises, under every registered distractor: presets and single parts."""

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from masklam_envs.distractors import distractor_names
from masklam_envs.masks import make_mask_source, segment, target_bodies
from masklam_envs.masks.threshold import hard
from masklam_envs.tasks import TASKS
from tests import promises
from tests.helpers import rollout
from tests.promises import SEED, STEPS, make

every_env = pytest.mark.parametrize("env_id", TASKS)
every_distractor = pytest.mark.parametrize("distractor", distractor_names())


@every_env
@every_distractor
def test_a_seed_fixes_every_byte_through_json_and_pickle(env_id, distractor):
    promises.assert_reproducible(env_id, distractor)


@every_env
@every_distractor
def test_a_distractor_leaves_the_physics_alone(env_id, distractor):
    promises.assert_physics_untouched(env_id, distractor)


@every_env
@every_distractor
def test_what_is_replayed_was_seen_live(env_id, distractor):
    promises.assert_replayed(env_id, distractor)


@every_env
@every_distractor
def test_the_mask_is_the_target_s_geoms_less_what_is_hidden(env_id, distractor):
    promises.assert_mask_is_the_geoms(env_id, distractor)


@every_env
@every_distractor
def test_gymnasium_s_checker_is_clean(env_id, distractor):
    promises.assert_gymnasium_s_checker_is_clean(env_id, distractor)


@every_env
@every_distractor
def test_sb3_s_checker_is_clean(env_id, distractor):
    promises.assert_sb3_s_checker_is_clean(env_id, distractor)


@every_env
def test_gymnasium_s_checker_dislikes_only_the_base_s_unbounded_state(env_id):
    env = make(env_id).unwrapped
    # The state is the base environment's own observation, whose Box is unbounded; Gymnasium warns of it there too.
    low, high = promises.warned(env, lambda: check_env(env, skip_render_check=True))
    assert "A Box observation space minimum value is -infinity. This is probably too low." in low
    assert "A Box observation space maximum value is infinity. This is probably too high." in high


@every_env
def test_a_mask_source_finds_the_masks_live(env_id):
    config = {"name": "motion", "method": "difference", "window": 2, "radius": 0}
    observations, _ = rollout(make(env_id, mask_source=config), SEED, STEPS)
    pixels = np.stack([observation["pixels"] for observation in observations])
    want = hard(segment(make_mask_source(config), pixels))[..., None]
    assert np.array_equal(np.stack([observation["mask"] for observation in observations]), want)
    assert want.any()


@pytest.mark.parametrize("target", ["agent", "object", "foreground"])
@every_env
def test_the_mask_is_where_the_target_s_geoms_are_seen(env_id, target):
    if target == "object" and not TASKS[env_id].objects:
        with pytest.raises(ValueError, match=r"mask_target='object' shows nothing.* Its bodies: "):
            make(env_id, mask_target=target)
        return
    env = make(env_id, mask_target=target, image_size=64).unwrapped
    observation, _ = env.reset(seed=SEED)
    model, qpos = env.view.model, env.base.unwrapped.data.qpos
    ids = env.view.renderer.inspect(qpos).ids
    bodies = np.where(ids >= 0, model.geom_bodyid[ids], -1)
    named = {model.body(name).id for name in TASKS[env_id].objects}
    robot = set(range(1, model.nbody)) - named
    want = {"agent": robot, "object": named, "foreground": robot | named}[target]
    np.testing.assert_array_equal(observation["mask"][..., 0] == 255, np.isin(bodies, list(want)))
    assert observation["mask"].any()
    # The model alone tells the same, so make_masked(base) does too.
    assert set(target_bodies(model, target)) == want


@every_env
def test_the_agent_starts_inside_the_frame(env_id):
    env = make(env_id, image_size=64, observation="mask")
    for seed in range(5):
        mask = env.reset(seed=seed)[0]["mask"][..., 0]
        assert not (mask[[0, -1]].any() or mask[:, [0, -1]].any())
        assert mask.any()
