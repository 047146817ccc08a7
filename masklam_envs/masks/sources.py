"""Where masks come from when no simulator gives them, by name.

A source turns the frames of one video into soft masks.  Each is an estimate: score it against masks you trust
(:mod:`masklam_envs.masks.quality`).

* :class:`MaskSource` - the protocol.
* :func:`make_mask_source` - a source by name.
* :func:`register_mask_source` - a name for a source of yours.
* :func:`segment` - run a source: input and output are checked, long videos go in pieces.
* :func:`hard` - soft masks as the 0 and 255 that everything else reads (:mod:`masklam_envs.masks.threshold`).
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from masklam_envs.entry_points import entry_point_for, load
from masklam_envs.errors import unknown_name
from masklam_envs.masks.threshold import hard as hard
from masklam_envs.plain import plain

SIMULATOR, NONE = "simulator", "none"
MAX_SMOOTHING = 64
# Frames that a source which looks back only so far sees in one call: 100 MB of video at 320 x 320.
PIECE = 256

Frames = NDArray[np.uint8]
SoftMasks = NDArray[np.float32]


class MaskSource(Protocol):
    """Where masks come from.

    Optional attributes: ``memory``, the number of earlier frames that the mask of a frame depends on, so that it can
    be made while an episode runs; without it, or with None, the source needs the whole video.  ``working_size``, the
    side in pixels to which clips are cut down before they are segmented (256 without it).  ``path``, the file of its
    weights.  ``providers``, ONNX Runtime's that it runs on.  ``takes_prompt``: False where there is nothing to be told,
    so that a prompt is refused.  The threads of a vector environment may call ``segment`` at the same time.
    """

    def segment(self, frames: Frames, prompt: Any = None) -> SoftMasks:
        """How sure it is of the agent, in [0, 1].

        :param frames: (T, H, W, 3) uint8 RGB of one video, in order
        :param prompt: what to look for, for sources that can be told; JSON-able
        :return: (T, H, W) float32
        """


_KNOWN: dict[str, str] = {
    "motion": "masklam_envs.masks.motion:Motion",
    "rembg": "masklam_envs.masks.rembg:Rembg",
    "sam": "masklam_envs.masks.sam:Sam",
    "student": "masklam_envs.masks.student:Student",
}


def register_mask_source(name: str, entry_point: str | type) -> None:
    """Give a source of yours a name, for environments, ``masklam segment`` and everything else.

    :param name: not one of ours, unless it is registered with the same entry point again
    :param entry_point: ``"module:Class"``, imported when the source is first made, or a class at the top of a module,
        which stands for that text; the class's keyword arguments are the options of a configuration
    :raises ValueError: when the name is taken or the entry point has another form
    """
    text = entry_point_for("mask source", name, entry_point)
    if name in (SIMULATOR, NONE) or _KNOWN.get(name, text) != text:
        known = f" ({_KNOWN[name]})" if name in _KNOWN else ""
        raise ValueError(f"there is a mask source {name!r} already{known}; give yours another name")
    _KNOWN[name] = text


def is_source_of_others(name: str) -> bool:
    """Whether a mask source of that name is not this package's."""
    return name in sources_of_others()


def sources_of_others() -> dict[str, str]:
    """Entry points by name of the mask sources that are not this package's."""
    return {name: text for name, text in _KNOWN.items() if not text.startswith("masklam_envs.")}


def source_names() -> tuple[str, ...]:
    """Every name a mask source can be made by, sorted."""
    return tuple(sorted(_KNOWN))


def source_config(config: Any) -> dict[str, Any]:
    """A configuration as a dictionary with a known ``name``.

    :param config: a name, or ``{"name": ..., option: value}``; ``"simulator"`` and ``"none"`` too
    :raises ValueError: for another form or an unknown name
    """
    if not isinstance(config, (str, Mapping)):
        raise ValueError(f"a mask source is a name or a dict with a 'name', got {config!r}")
    given: dict[str, Any] = {"name": config} if isinstance(config, str) else plain(dict(config))
    name = given.get("name")
    if name in (SIMULATOR, NONE):
        if len(given) > 1:
            raise ValueError(f"mask source {name!r} has no options, got {sorted(given.keys() - {'name'})}")
    elif not isinstance(name, str) or name not in _KNOWN:
        raise ValueError(unknown_name("mask source", name, (*_KNOWN, SIMULATOR, NONE)))
    return given


def make_mask_source(config: Any, **options: Any) -> MaskSource | None:
    """A mask source by name.

    Every source also has the option ``smoothing``: the mask of a frame is the mean over it and the frames before it,
    that many in all (1 to 64).

    :param config: a name, or ``{"name": ..., option: value}``; ``"none"`` for no masks
    :param options: more options
    :return: the source; None for ``"none"``
    :raises ValueError: for an unknown name or option
    :raises FileNotFoundError: when weights are missing: the message has the file, its folder and the command

    >>> make_mask_source("motion", threshold=8.0).threshold
    8.0
    """
    given = source_config(config) | plain(options)
    name, smoothing = given.pop("name"), given.pop("smoothing", 1)
    if name == NONE:
        source_config({"name": NONE, **given})
        return None
    if name == SIMULATOR:
        raise ValueError("the simulator's masks come with the environment: mask_source='simulator' there")
    kind = _class_of(name)
    known = list(inspect.signature(kind.__init__).parameters)[1:]
    for option in given:
        if option not in known:
            raise ValueError(unknown_name(f"option of mask source {name!r}", option, ("name", "smoothing", *known)))
    if isinstance(smoothing, bool) or not isinstance(smoothing, int) or not 1 <= smoothing <= MAX_SMOOTHING:
        raise ValueError(f"smoothing must be an integer in [1, {MAX_SMOOTHING}] frames, got {smoothing!r}")
    source: MaskSource = kind(**given)
    return source if smoothing == 1 else Smoothed(source, smoothing)


def make_live_source(config: Any) -> MaskSource | None:
    """A source for an environment that runs; None for the simulator's masks.

    :raises ValueError: as :func:`make_mask_source`, and for a source that needs the whole video
    """
    name = source_config(config)["name"]
    if name == SIMULATOR:
        return None
    source = make_mask_source(config)
    if source is None:
        raise ValueError("an environment has masks: leave 'mask' out of its observation instead of mask_source='none'")
    if memory_of(source) is None:
        raise ValueError(
            f"mask source {name!r} needs the whole video and cannot make masks while an episode runs; record episodes "
            f"and give them masks with `masklam segment DATASET --mask-source {name}`, or use a source that looks "
            "back only: 'student', 'rembg', or 'motion' with method 'difference' or 'flow'"
        )
    return source


def memory_of(source: MaskSource) -> int | None:
    """How many earlier frames a frame's mask depends on; None: on the whole video."""
    memory: int | None = getattr(source, "memory", None)
    return memory


class Smoothed:
    """The mean of a source's masks over ``count`` frames, this one and those before it.

    :param source: whose masks
    :param count: of frames
    """

    def __init__(self, source: MaskSource, count: int) -> None:
        self.source, self.count = source, count
        before = memory_of(source)
        #: see :class:`MaskSource`
        self.memory = None if before is None else before + count - 1
        self.working_size = working_size(source)
        self.path = getattr(source, "path", None)
        self.providers: tuple[str, ...] | None = getattr(source, "providers", None)
        self.takes_prompt: bool = getattr(source, "takes_prompt", True)

    def segment(self, frames: Frames, prompt: Any = None) -> SoftMasks:
        """See :class:`MaskSource`; at the start of a video the mean is over fewer frames."""
        masks = self.source.segment(frames, prompt)
        # One after the other, not by running sums: a mask must not depend on where the piece of video began.
        return np.stack([masks[max(t - self.count + 1, 0) : t + 1].mean(axis=0) for t in range(len(masks))])


def working_size(source: MaskSource) -> int:
    """The side to which clips are cut down before they are segmented, pixels."""
    return int(getattr(source, "working_size", 256))


def segment(source: MaskSource, frames: Frames, prompt: Any = None) -> SoftMasks:
    """Run a source on one video.

    Sources that look back only so far get pieces of 256 frames, each with the frames it looks back to; the masks are
    those of one call.

    :param source: the source
    :param frames: (T, H, W, 3) uint8 RGB, T >= 1
    :param prompt: what to look for
    :return: (T, H, W) float32 in [0, 1]
    :raises ValueError: for frames of another type or shape, a prompt that the source does not take, or when it returns
        something else than masks
    :raises MemoryError: when a source that needs the whole video finds it too long
    """
    check_frames(frames)
    if prompt is not None and not getattr(source, "takes_prompt", True):
        raise ValueError(f"{type(source).__name__} cannot be told what to look for: leave out the prompt {prompt!r}")
    memory = memory_of(source)
    if memory is None:
        try:
            return _checked_masks(source, source.segment(frames, prompt), frames)
        except MemoryError as error:
            raise MemoryError(
                f"{type(source).__name__} needs the whole video and {len(frames)} frames of {frames.shape[1]}x"
                f"{frames.shape[2]} do not fit in memory; "
                + (str(error) or "cut it into shorter ones (masklam import --longest N)")
            ) from error
    out = np.empty(frames.shape[:3], np.float32)
    for first in range(0, len(frames), PIECE):
        begin = max(first - memory, 0)
        part = frames[begin : first + PIECE]
        out[first : first + PIECE] = _checked_masks(source, source.segment(part, prompt), part)[first - begin :]
    return out


def check_frames(frames: Any) -> None:
    """Complain unless ``frames`` is (T, H, W, 3) uint8 with at least one frame."""
    if not isinstance(frames, np.ndarray) or frames.dtype != np.uint8:
        what = f"an array of {frames.dtype}" if isinstance(frames, np.ndarray) else type(frames).__name__
        cure = "; floats in [0, 1] become bytes by (frames * 255).astype(np.uint8)" if "float" in what else ""
        raise ValueError(f"frames must be uint8 RGB of shape (T, H, W, 3), got {what}{cure}")
    if frames.ndim != 4 or frames.shape[3] != 3 or 0 in frames.shape:
        raise ValueError(
            f"frames must be uint8 RGB of shape (T, H, W, 3), got shape {frames.shape}; a single frame is "
            "frame[None], a grey one frame[..., None].repeat(3, axis=-1)"
        )


def _checked_masks(source: MaskSource, masks: Any, frames: Frames) -> SoftMasks:
    name = type(source).__name__
    if not isinstance(masks, np.ndarray) or masks.shape != frames.shape[:3] or masks.dtype.kind != "f":
        what = f"{masks.dtype} {masks.shape}" if isinstance(masks, np.ndarray) else type(masks).__name__
        raise ValueError(f"mask source {name} returned {what} for frames {frames.shape}, not float32 (T, H, W)")
    # One pass: a comparison with NaN is false.
    if not ((masks >= 0) & (masks <= 1)).all():
        raise ValueError(f"mask source {name} returned numbers outside [0, 1] or NaN: {masks.min()} to {masks.max()}")
    return np.asarray(masks, np.float32)


def _class_of(name: str) -> Any:
    return load(f"mask source {name!r}", _KNOWN[name])
