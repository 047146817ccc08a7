import numpy as np
import pytest

from masklam_agents.common.stacking import frames_of, push


def frame(value: int, batch: int = 2) -> np.ndarray:
    return np.full((batch, 8, 8, 3), value, np.uint8)


def values(stacks: np.ndarray) -> list[list[int]]:
    return stacks[:, :, 0, 0, 0].tolist()


def test_first_frame_is_repeated_then_frames_move_on():
    stacks, state = push(frame(1), 3, None, None)
    assert values(stacks) == [[1, 1, 1]] * 2
    stacks, state = push(frame(2), 3, state, np.array([False, False]))
    stacks, state = push(frame(3), 3, state, np.array([False, False]))
    assert values(stacks) == [[1, 2, 3]] * 2


def test_an_episode_start_begins_a_new_stack():
    _, state = push(frame(1), 3, None, None)
    stacks, _ = push(frame(9), 3, state, np.array([True, False]))
    assert values(stacks) == [[9, 9, 9], [1, 1, 9]]


def test_ready_stacks_pass_through_without_state():
    ready = np.concatenate([frame(v) for v in (1, 2, 3)], axis=-1)
    stacks, state = push(ready, 3, None, None)
    assert values(stacks) == [[1, 2, 3]] * 2
    assert state is None


def test_layouts_of_observations():
    single = np.zeros((8, 8, 3), np.uint8)
    for observation, batched in ((single, False), (single[None], True), (single.transpose(2, 0, 1)[None], True)):
        pixels, got = frames_of({"pixels": observation}, 8)
        assert pixels.shape == (1, 8, 8, 3)
        assert got == batched


@pytest.mark.parametrize("bad", [np.zeros((9, 9, 3), np.uint8), np.zeros((8, 8, 3)), np.zeros((8, 8, 4), np.uint8)])
def test_wrong_frames_are_refused(bad):
    with pytest.raises(ValueError, match="pixels must be uint8 frames"):
        frames_of(bad, 8)


def test_state_of_another_number_of_environments_is_refused():
    _, state = push(frame(1, batch=2), 3, None, None)
    with pytest.raises(ValueError, match="state is of 2 environments"):
        push(frame(1, batch=3), 3, state, None)
