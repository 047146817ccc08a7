"""Wrappers outside an environment of this package, for what is taken from the environment inside them.

A recording steps the environment inside, frames are drawn with its view: what a wrapper outside does is in neither.
Whoever takes something from inside says what of it matters; a wrapper that changes that is an error which says where
it belongs, and one that may is a warning.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator
from typing import Any

import gymnasium as gym

#: what a wrapper may change: the actions (also how often each is taken), the rewards, what single frames and masks
#: show, and whether ``pixels`` are red, green and blue
ACTIONS, REWARDS, FRAMES, COLOURS = "actions", "rewards", "frames", "colours"

_PACKAGES = ("gymnasium", "masklam_agents", "masklam_envs", "stable_baselines3")
# Classes of these packages by what they change; one that is not here goes by the nearest of its bases that is.
_CHANGING = {
    ACTIONS: ("ActionRepeat", "ActionWrapper", "MaxAndSkipEnv", "MaxAndSkipObservation", "RepeatAction"),
    REWARDS: ("NormalizeReward", "RewardWrapper"),
    FRAMES: ("Grayscale", "GrayscaleObservation", "MaskFaults", "MaskedPixels", "Resize", "SegmentedMask"),
    COLOURS: ("Grayscale", "GrayscaleObservation", "MaskChannel", "MaskOnly"),
}
_HARMLESS = (
    # Actions are cut to the bounds inside, and who records heeds time limits.
    *("ClipAction", "TimeLimit"),
    # Who reads frames stacks them; further keys of the observation leave the frames as they are.
    *("CleanPair", "FilterObservation", "FrameStack", "FrameStackObservation", "TimeAwareObservation"),
    *("Autoreset", "HumanRendering", "Monitor", "OrderEnforcing", "PassiveEnvChecker", "RecordEpisodeStatistics"),
    *("RecordMaskVideo", "RecordVideo", "RenderCollection"),
)
# What one that goes by this base, or by none, may change as well.
_NOTHING: frozenset[str] = frozenset()
_ANY_OBSERVATION, _ANYTHING = frozenset({FRAMES}), frozenset({ACTIONS, REWARDS, FRAMES})
_CURES = {
    "MaskFaults": "give the environment mask_faults= instead",
    "Resize": "give the environment image_size= instead",
    "SegmentedMask": "give the environment mask_source= instead",
}


def wrappers_of(env: Any) -> Iterator[gym.Wrapper[Any, Any, Any, Any]]:
    """The wrappers round an environment, the outermost first."""
    while isinstance(env, gym.Wrapper):
        yield env
        env = env.env


def changes_of(kind: type[gym.Wrapper[Any, Any, Any, Any]]) -> tuple[frozenset[str], frozenset[str]]:
    """What a class of wrappers changes for certain, and what it may change.

    >>> from gymnasium.wrappers import RescaleAction
    >>> changes_of(RescaleAction)
    (frozenset({'actions'}), frozenset())
    """
    for base in kind.__mro__:
        name, known = base.__name__, base.__module__.split(".")[0] in _PACKAGES
        certain = frozenset(what for what, names in _CHANGING.items() if name in names)
        if known and (certain or name in (*_HARMLESS, "ObservationWrapper")):
            possible = _ANY_OBSERVATION if name == "ObservationWrapper" else _NOTHING
            # A class with a step of its own does more than its base.
            return certain, possible if kind.step is getattr(base, "step", None) else _ANYTHING
    untouched = (kind.step, kind.reset) == (gym.Wrapper.step, gym.Wrapper.reset)
    return _NOTHING, _NOTHING if untouched else _ANYTHING


def check_outside(env: Any, taken: str, matters: Collection[str]) -> None:
    """Complain of wrappers whose work would be missing in what is taken from the environment inside them.

    :param env: an environment; anything else has no wrappers
    :param taken: what is taken, as the beginning of a sentence that ends in "the environment inside X, .."
    :param matters: some of ``ACTIONS``, ``REWARDS``, ``FRAMES``, ``COLOURS``
    :raises ValueError: naming the first wrapper that changes one of these, and what to do instead
    :warns UserWarning: of each that may
    """
    for wrapper in wrappers_of(env):
        base = getattr(wrapper.unwrapped, "base", None)
        made = f"gym.make({base.spec.id!r})" if base is not None and base.spec is not None else "base"
        if told := complaint(type(wrapper), taken, matters, made):
            warnings.warn(told, stacklevel=3)


def complaint(kind: type[gym.Wrapper[Any, Any, Any, Any]], taken: str, matters: Collection[str], base: str) -> str:
    """What there is to say against a class of wrappers outside, "" where nothing; as in :func:`check_outside`.

    :param base: how the base environment is made, for the message
    :raises ValueError: when it changes what matters for certain
    """
    certain, possible = changes_of(kind)
    inside = f"{taken} the environment inside {kind.__name__}"
    if found := _common(matters, certain):
        raise ValueError(f"{inside}, which changes the {found}: {_cure(kind, found, base)}")
    found = _common(matters, possible)
    return f"{inside}, which is not known here; if it changes the {found}: {_cure(kind, found, base)}" if found else ""


def _common(matters: Collection[str], changes: frozenset[str]) -> str:
    return " or ".join(what for what in matters if what in changes)


def _cure(kind: type, found: str, base: str) -> str:
    if kind.__name__ in _CURES:
        return _CURES[kind.__name__]
    if found == COLOURS:
        return "leave it out, agents stack frames of red, green and blue themselves"
    if found == FRAMES:
        return "leave it out here, and do what it does to the drawn frames"
    return f"put it round the base environment, make_masked({kind.__name__}({base}, ...))"
