"""Masks that tell agent and objects apart."""

import gymnasium as gym
import numpy as np
import pytest

from masklam_envs import LazyFrames, collect, render_frames
from masklam_envs.data.parts import AGENT, OBJECT, PartFrames


@pytest.fixture(scope="module")
def pusher():
    env = gym.make("MaskPusher-v0", image_size=32, distractor="video")
    return collect("MaskPusher-v0", 2, policy="random", seed=0, max_steps=15), env


def test_parts_are_the_two_masks_and_the_pixels_are_the_same(pusher):
    trajectories, env = pusher
    frames = PartFrames(trajectories, env).select([1, 0])
    view = env.unwrapped.view
    agent, objects = (
        render_frames(trajectories.select([1, 0]), view.again(mask_target=t)) for t in ("agent", "object")
    )
    assert np.array_equal(frames.pixels, agent.pixels)
    assert objects.mask.any() and not (agent.mask & objects.mask).any()
    assert np.array_equal(frames.mask == AGENT, agent.mask == 255)
    assert np.array_equal(frames.mask == OBJECT, objects.mask == 255)


def test_single_frames_and_those_of_a_twin_are_the_same(pusher):
    trajectories, env = pusher
    lazy, whole = PartFrames(trajectories, env), PartFrames(trajectories, env).select(range(2))
    index = np.array([[17, 3], [3, 30]])
    for each in (lazy, lazy.twin()):
        rgbm, place = each.rows(index)
        assert np.array_equal(rgbm[place], whole.rgbm[index])
    assert isinstance(lazy, LazyFrames) and isinstance(lazy.twin(), PartFrames)


def test_a_task_without_objects_is_refused():
    with pytest.raises(ValueError, match="the model has no object of its own"):
        PartFrames(collect("MaskHopper-v0", 1, policy="random", max_steps=3), gym.make("MaskHopper-v0", image_size=32))
