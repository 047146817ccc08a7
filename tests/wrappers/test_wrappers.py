"""What each wrapper shows, against its definition."""

import functools

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from masklam_envs import Windows, collect, render_frames
from masklam_envs.wrappers import (
    ActionRepeat,
    CleanPair,
    FrameStack,
    Grayscale,
    MaskChannel,
    MaskedPixels,
    MaskFaults,
    MaskOnly,
    Resize,
)
from masklam_envs.wrappers.size import resize
from tests.helpers import assert_same, random_actions, rollout
from tests.wrappers import foreign


def hopper(**kwargs):
    return gym.make("MaskHopper-v0", **{"distractor": "video", "image_size": 36, **kwargs})


class Showing(gym.Env):
    """Shows one observation for ever."""

    def __init__(self, **images):
        self.images = images
        self.action_space = spaces.Discrete(2)
        self.observation_space = spaces.Dict(
            {key: spaces.Box(0, 255, image.shape, np.uint8) for key, image in images.items()}
        )

    def reset(self, *, seed=None, options=None):
        return {key: image.copy() for key, image in self.images.items()}, {}


def shown(wrapped):
    return wrapped.reset()[0]


pixels = hnp.arrays(np.uint8, (6, 8, 3))
masks = hnp.arrays(np.uint8, (6, 8, 1))


# FrameStack


def test_the_stack_is_that_of_recorded_windows():
    env = hopper()
    recorded = collect(env, 2, max_steps=6, seed=4)
    frames = render_frames(recorded, env)
    windows = Windows(frames, frame_stack=3, future_offset=1).observation(np.arange(len(frames)))
    stacked, live = FrameStack(env, 3), []
    for e in range(recorded.episodes):
        live.append(stacked.reset(seed=int(recorded.reset_seeds[e]))[0])
        live += [stacked.step(action)[0] for action in recorded.episode_actions(e)]
    assert_same(live, [{key: windows[key][i] for key in windows} for i in range(len(frames))])


def test_other_keys_are_not_stacked():
    env = FrameStack(hopper(observation=("pixels", "mask", "clean", "state")), 4)
    assert {key: space.shape for key, space in env.observation_space.items()} == {
        "pixels": (36, 36, 12),
        "mask": (36, 36, 4),
        "clean": (36, 36, 12),
        "state": (11,),
    }
    assert env.reset(seed=0)[0] in env.observation_space


@pytest.mark.parametrize("count", [0, 65, 2.0, True])
def test_a_stack_has_a_whole_number_of_frames(count):
    with pytest.raises(ValueError, match=r"FrameStack: frame_stack must be an integer in \[1, 64\]"):
        FrameStack(hopper(), count)


def test_a_stack_needs_an_image():
    with pytest.raises(ValueError, match="FrameStack needs images"):
        FrameStack(gym.make("Hopper-v5"))


def test_frames_are_stacked_once():
    for env in (FrameStack(hopper(), 2), MaskChannel(FrameStack(hopper(), 2)), Grayscale(FrameStack(hopper(), 2))):
        with pytest.raises(ValueError, match="the frames are stacked already, 2 of them; give that wrapper another"):
            FrameStack(env)


# One image


@given(pixels=pixels, mask=masks)
def test_the_mask_is_the_fourth_channel(pixels, mask):
    image = shown(MaskChannel(Showing(pixels=pixels, mask=mask)))
    assert np.array_equal(image[..., :3], pixels)
    assert np.array_equal(image[..., 3:], mask)
    assert np.array_equal(shown(MaskOnly(Showing(pixels=pixels, mask=mask))), mask)


# Colours


@given(pixels=pixels, mask=masks)
def test_the_background_takes_the_colour(pixels, mask):
    colour = np.array([0, 128, 255])
    seen = shown(MaskedPixels(Showing(pixels=pixels, mask=mask, clean=255 - pixels), colour=colour))
    share = mask / 255
    for key, before in (("pixels", pixels), ("clean", 255 - pixels)):
        assert np.abs(seen[key] - (share * before + (1 - share) * colour)).max() <= 0.5 + 1e-9
    assert np.array_equal(seen["pixels"][mask[..., 0] == 255], pixels[mask[..., 0] == 255])
    assert (seen["pixels"][mask[..., 0] == 0] == colour).all()
    assert np.array_equal(seen["mask"], mask)


@pytest.mark.parametrize("colour", [(1, 2), (0, 0, 256), (0.5, 0, 0), "red", 7])
def test_a_colour_is_three_whole_numbers(colour):
    with pytest.raises(ValueError, match="MaskedPixels: .*colour must be"):
        MaskedPixels(hopper(), colour=colour)


@given(pixels=pixels, mask=masks)
def test_grey_is_the_weighted_sum(pixels, mask):
    seen = shown(Grayscale(Showing(pixels=pixels, mask=mask)))
    exact = pixels.astype(float) @ [0.2125, 0.7154, 0.0721]
    assert seen["pixels"].shape == (6, 8, 1)
    assert np.abs(seen["pixels"][..., 0] - exact).max() <= 0.51
    assert np.array_equal(seen["mask"], mask)


def test_white_stays_white_and_gymnasium_agrees():
    white = np.full((6, 8, 3), 255, np.uint8)
    assert (shown(Grayscale(Showing(pixels=white, mask=white[..., :1])))["pixels"] == 255).all()
    env = hopper(observation="pixels")
    image = gym.wrappers.TransformObservation(env, lambda seen: seen["pixels"], env.observation_space["pixels"])
    theirs = gym.wrappers.GrayscaleObservation(image, keep_dim=True).reset(seed=0)[0]
    ours = Grayscale(hopper()).reset(seed=0)[0]["pixels"]
    # Theirs cuts off what ours rounds.
    assert np.isin(ours.astype(int) - theirs, (0, 1)).all()


@pytest.mark.parametrize("wrapper", [Grayscale, MaskedPixels])
def test_grey_frames_have_no_colours_to_change(wrapper):
    with pytest.raises(ValueError, match="apply it before Grayscale"):
        wrapper(Grayscale(hopper()))


# Resize


@given(image=hnp.arrays(np.uint8, (12, 8, 6)), channels=st.integers(1, 3))
def test_shrinking_is_the_mean_of_the_area(image, channels):
    small = resize(image, (6, 2), channels)
    mean = image.reshape(6, 2, 2, 4, 6).mean(axis=(1, 3))
    assert np.abs(small - mean).max() <= 0.5


def test_areas_that_are_cut_count_in_part():
    image = np.array([[0, 0, 90], [0, 0, 90], [90, 90, 90]], np.uint8)[..., None]
    # Each new pixel is 1.5 old ones high and wide.
    assert resize(image, (2, 2), 1)[..., 0].tolist() == [[0, 60], [60, 80]]


@given(pixels=pixels, mask=masks)
def test_a_mask_stays_hard_unless_it_may_be_soft(pixels, mask):
    env = Showing(pixels=pixels, mask=mask)
    soft, hard = (shown(Resize(env, (3, 4), soft_mask=soft))["mask"] for soft in (True, False))
    assert np.array_equal(hard, np.where(soft >= 128, 255, 0))
    assert np.abs(soft - mask.reshape(3, 2, 4, 2, 1).mean(axis=(1, 3))).max() <= 0.5


def test_the_same_size_changes_nothing_and_a_larger_one_works():
    env = hopper()
    assert_same([env.reset(seed=1)[0]], [Resize(env, 36).reset(seed=1)[0]])
    large = Resize(env, (80, 50))
    seen = large.reset(seed=1)[0]
    assert seen in large.observation_space
    assert set(np.unique(seen["mask"])) == {0, 255}


@pytest.mark.parametrize("size", [0, (4, 0), (4,), (1, 2, 3), 4.5, "64", None])
def test_a_size_is_one_or_two_whole_numbers(size):
    with pytest.raises(ValueError, match="Resize: size must be"):
        Resize(hopper(), size)


# CleanPair


def test_clean_is_what_our_environment_shows_as_clean():
    env = hopper(observation=("pixels", "mask", "clean"))
    assert_same(rollout(env, 2)[0], rollout(CleanPair(hopper()), 2)[0])


def test_a_copy_of_another_environment_is_its_clean_twin():
    pair = CleanPair(foreign.make(), twin={"noise": False})
    noisy, clean = rollout(foreign.make(), 5)[0], rollout(foreign.make(noise=False), 5)[0]
    expected = [{**a, "clean": b["pixels"]} for a, b in zip(noisy, clean, strict=True)]
    assert_same(rollout(pair, 5)[0], expected)


def test_twins_are_in_step_without_a_seed_too():
    pair = CleanPair(foreign.make(), twin={"noise": False})
    for _ in range(2):
        observation, _ = pair.reset()
        agent = observation["mask"][..., 0] == 255
        assert np.array_equal(observation["pixels"][agent], observation["clean"][agent])
        pair.step(pair.action_space.sample())


def test_a_twin_that_goes_another_way_is_noticed():
    pair = CleanPair(foreign.make(), twin={"steps": 1})
    pair.reset(seed=0)
    with pytest.raises(RuntimeError, match="after the same actions the copy without distractor gives"):
        pair.step(pair.action_space.sample())


def test_clean_pairs_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="has the key 'clean' already"):
        CleanPair(CleanPair(hopper()))
    with pytest.raises(ValueError, match="apply it before wrappers that change frames"):
        CleanPair(Resize(hopper(), 20))
    with pytest.raises(ValueError, match="MaskedPixels inside it .* apply CleanPair before it"):
        CleanPair(MaskedPixels(hopper()))
    with pytest.raises(TypeError, match="ForeignEnv cannot draw the frame without distractor.*twin="):
        CleanPair(foreign.make())
    with pytest.raises(TypeError, match="made by gymnasium.make"):
        CleanPair(foreign.ForeignEnv(), twin={"noise": False})


# MaskFaults

FAULTS = [
    {"name": "flicker", "rate": 0.5, "radius": 2},
    {"name": "dropout", "rate": 0.3, "burst": 2},
    {"name": "latency", "frames": 2},
    {"name": "occlusion", "fraction": 0.5},
    "false_positives",
]


def test_faults_are_those_of_the_environment_s_own_argument():
    own, wrapped = hopper(mask_faults=FAULTS), MaskFaults(hopper(), FAULTS)
    for seed in (3, None, None, 4):  # None: the next episode of the same seed
        assert_same(rollout(own, seed, 8)[0], rollout(wrapped, seed, 8)[0])


def test_faults_of_any_environment_follow_the_reset_seed():
    env = MaskFaults(foreign.make(), FAULTS)
    first, again, other = (rollout(env, seed)[0] for seed in (1, 1, 2))
    assert_same(first, again)
    second, second_again = [], []
    for episodes in (second, second_again):
        env.reset(seed=1)
        episodes += rollout(env, None)[0]
    assert_same(second, second_again)
    assert any(not np.array_equal(a["mask"], b["mask"]) for a, b in zip(first, second, strict=True))
    assert any(not np.array_equal(a["mask"], b["mask"]) for a, b in zip(first, other, strict=True))


def test_faults_upon_faults_are_those_of_one_list():
    dropout = {"name": "dropout", "rate": 0.5}
    both = rollout(hopper(mask_faults=[dropout, dropout, "erosion"]), 0, 20)[0]
    assert_same(both, rollout(MaskFaults(hopper(mask_faults=dropout), [dropout, "erosion"]), 0, 20)[0])
    assert_same(both, rollout(MaskFaults(MaskFaults(hopper(), [dropout, dropout]), "erosion"), 0, 20)[0])
    lost = [
        sum(not each["mask"].any() for each in seen) for seen in (both, rollout(hopper(mask_faults=dropout), 0, 20)[0])
    ]
    assert lost[0] > lost[1]


def test_faults_need_single_frames_and_no_whole_episode():
    with pytest.raises(ValueError, match="stack frames after it"):
        MaskFaults(FrameStack(hopper()), "erosion")
    with pytest.raises(ValueError, match="box='seen' live"):
        MaskFaults(hopper(), {"name": "occlusion", "box": "episode"})
    with pytest.raises(ValueError, match="MaskFaults does not know a distractor's ghost"):
        MaskFaults(hopper(), "ghost")
    with pytest.raises(ValueError, match="unknown mask fault 'erosoin'"):
        MaskFaults(hopper(), "erosoin")


# ActionRepeat


def test_rewards_are_summed_and_the_last_frame_is_shown():
    single, repeated = hopper(), ActionRepeat(hopper(), 3)
    single.reset(seed=0), repeated.reset(seed=0)
    for action in random_actions(single, 4):
        rewards = []
        for _ in range(3):
            observation, reward, *_ = single.step(action)
            rewards.append(reward)
        shown_, summed, *_ = repeated.step(action)
        assert summed == pytest.approx(sum(rewards), abs=1e-12)
        assert_same([observation], [shown_])


def test_repeating_stops_at_the_end():
    env = ActionRepeat(foreign.make(steps=7), 4)
    env.reset(seed=0)
    ends = [env.step(np.zeros(2))[2:4] for _ in range(2)]
    assert ends == [(False, False), (False, True)]
    assert env.unwrapped.t == 7


# Order


@functools.cache
def rolled(*names):
    made = {
        "stack": lambda env: FrameStack(env, 2),
        "grey": Grayscale,
        "masked": MaskedPixels,
        "half": lambda env: Resize(env, 18),
        "soft": lambda env: Resize(env, 18, soft_mask=True),
        "faults": lambda env: MaskFaults(env, FAULTS),
        "clean": CleanPair,
        "image": MaskChannel,
    }
    env = hopper()
    for name in names:
        env = made[name](env)
    shown, _ = rollout(env, 6, 5)
    return [seen if isinstance(seen, dict) else {"": seen} for seen in shown]


@pytest.mark.parametrize("name", ["grey", "masked", "half", "soft"])
def test_what_is_done_to_each_frame_may_come_before_or_after_stacking(name):
    assert_same(rolled("clean", name, "stack"), rolled("clean", "stack", name))


@pytest.mark.parametrize(
    ("names", "channels"),
    [
        (("faults", "masked", "grey", "half", "stack", "image"), 4),
        (("clean", "faults", "half", "stack", "masked", "grey"), None),
        (("half", "faults", "masked", "image", "stack"), 8),
        (("stack", "soft", "masked", "image"), 8),
    ],
)
def test_long_chains_work(names, channels):
    first = rolled(*names)[0]
    if channels is None:
        assert {key: part.shape[2] for key, part in first.items()} == {"pixels": 2, "mask": 2, "clean": 2}
    else:
        assert first[""].shape == (18, 18, channels)


def test_frames_of_many_channels_are_resized_too():
    many = np.random.default_rng(0).integers(0, 256, (6, 8, 6), np.uint8)
    seen = shown(Resize(Showing(pixels=many, mask=many[..., :1]), (3, 4)))
    assert np.abs(seen["pixels"] - many.reshape(3, 2, 4, 2, 6).mean(axis=(1, 3))).max() <= 0.5
