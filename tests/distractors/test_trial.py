"""What is wrong with a part of one's own is said when the environment is made, with the part's name and the cure."""

import gymnasium as gym
import numpy as np
import pytest

from masklam_envs.distractors import ActionReference, Backdrop, Part, make_distractor, presets, register_distractor


class Bounce(Part):
    """A right one: where it is and how fast it goes, and a patch there."""

    width = 2

    def __init__(self, context, *, gain=0.5, colour="red", count=None):
        super().__init__(context)
        self.gain, self.colour = gain, colour

    def start(self, rng):
        return rng.uniform(0, 1, 2)

    def increments(self, rng, actions, states):
        return self.gain * rng.standard_normal((len(states), 2))

    def paint(self, row, backdrop):
        backdrop.x += row[0]


class Misspelt(Bounce):
    def paint(self, row, backdrop):
        backdrop.overlay = np.zeros((32, 32, 4), np.uint8)


class Still(Part):
    width = 2

    def start(self, rng):
        return np.zeros(2)

    def paint(self, row, backdrop):
        backdrop.x = row[0]


class MeantStill(Still):
    stands_still = True


class WrongStart(Bounce):
    def start(self, rng):
        return np.zeros(3)


class Nothing(Bounce):
    def start(self, rng):
        pass


class OneRow(Bounce):
    def advance(self, rng, row, actions, states):
        return row + self.gain * rng.standard_normal(2)


class OneColumn(Bounce):
    def increments(self, rng, actions, states):
        return np.zeros((len(actions), 1))


class NoWidth(Still):
    width = None


class Fractional(Bounce):
    lag = 0.5


class Transposed(Bounce):
    def advance(self, rng, row, actions, states):
        return row + np.cumsum(rng.standard_normal((2, len(states))).T, axis=0)


class Remembers(Bounce):
    steps = 0

    def advance(self, rng, row, actions, states):
        self.steps += 1
        return row + np.full((len(states), 2), self.steps)


class Rounds(Bounce):
    def advance(self, rng, row, actions, states):
        return row + np.cumsum(0.7 * rng.standard_normal((len(states), 2)), axis=0)


class InPlace(Bounce):
    def advance(self, rng, row, actions, states):
        row += 1
        return np.repeat(row[None], len(states), axis=0)


@pytest.fixture
def make(monkeypatch):
    """Makes an environment with a part of this module that is registered as "mine"."""
    monkeypatch.setattr(presets, "_PARTS", dict(presets._PARTS))

    def make(kind, **options):
        register_distractor("mine", f"{__name__}:{kind.__name__}")
        return gym.make("MaskHopper-v0", distractor=["video", {"name": "mine", **options}], image_size=32)

    return make


@pytest.mark.parametrize("kind", [Bounce, MeantStill])
def test_what_is_right_is_made_and_shown(make, kind):
    env = make(kind)
    env.reset(seed=0)
    assert env.step(env.action_space.sample())[0]["pixels"].any()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Misspelt, "paint fails.*attribute of a backdrop 'overlay'. Did you mean 'overlays'. Known: camera, clip"),
        (Still, r"Still has neither advance\(self, rng, row, actions, states\) nor increments.*stands_still = True"),
        (WrongStart, r"start returned shape \(3,\); it must be \(2,\), which is \(width,\)"),
        (Nothing, r"start returned None; it must be \(2,\)"),
        (OneRow, r"advance returned shape \(2,\); it must be \(3, 2\), which is \(T, width\) for these T = 3 steps"),
        (OneColumn, r"increments returned shape \(3, 1\); it must be \(3, 2\)"),
        (NoWidth, "width of NoWidth is None; it must be a whole number from 0 on"),
        (Fractional, "lag of Fractional is 0.5; it must be a whole number"),
        (Transposed, "advance gives other rows for 3 steps at once.*by one call"),
        (Remembers, "advance gives other rows for 3 steps at once"),
        (InPlace, "advance fails, ValueError: .*read-only"),
    ],
)
def test_a_mistake_is_named_when_the_environment_is_made(make, kind, message):
    with pytest.raises(ValueError, match=f"distractor 'mine': {message}"):
        make(kind)


def test_a_part_without_width_is_named(make, monkeypatch):
    monkeypatch.delattr(Still, "width")
    with pytest.raises(ValueError, match="'mine': width of Still is missing"):
        make(Still)


def test_an_option_of_another_kind_is_named_with_its_default(make):
    with pytest.raises(ValueError, match="'mine': advance fails.*its option gain is 'big', where the default is 0.5$"):
        make(Bounce, gain="big", count=3)
    assert make(Bounce, gain=1, colour="blue").unwrapped.view.distractor.config[1]["gain"] == 1


def test_rows_that_differ_in_the_last_bits_are_a_warning(make):
    with pytest.warns(UserWarning, match="'mine': advance gives other rows.*in the last bits.*increments"):
        make(Rounds)


def test_a_trial_changes_no_row(make, monkeypatch):
    tried = make(Bounce).unwrapped.view.distractor
    monkeypatch.setattr(presets, "try_out", lambda *_: None)
    plain = make(Bounce).unwrapped.view.distractor
    assert np.array_equal(tried.live(3).row, plain.live(3).row)


def test_rows_of_another_shape_are_refused_where_the_model_is_not_known(make):
    """Not spread over the columns, as NumPy would."""
    register_distractor("mine", f"{__name__}:OneRow")
    distractor = make_distractor("mine", action_reference=ActionReference.uniform([-1.0], [1.0]), image_size=32)
    with pytest.raises(ValueError, match=r"'mine': advance returned shape \(2,\); it must be \(5, 2\)"):
        distractor.track(0, np.zeros((5, 1)), np.zeros((6, 4)))


def test_a_backdrop_has_no_other_attributes():
    with pytest.raises(AttributeError, match="overlay"):
        Backdrop(np.zeros(1)).overlay = 0
