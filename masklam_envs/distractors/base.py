"""What a part of a distractor is: some columns of the track's row, and what they do to the backdrop.

* :class:`Context` - what every part is told when it is made.
* :class:`Backdrop` - what the parts change, one after the other, before it is drawn.
* :class:`Backdrops` - the same of many frames at once, for parts that only show footage and move it.
* :class:`Part` - the base class; third parties subclass it and call ``register_distractor``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from masklam_envs.distractors.facts import SceneFacts
from masklam_envs.distractors.reference import ActionReference
from masklam_envs.rendering.look import REFERENCE_SIZE, CameraChange, Ghost, Image, LightChange

__all__ = [
    "REFERENCE_SIZE",
    "SPLITS",
    "Backdrop",
    "Backdrops",
    "Context",
    "Float32Array",
    "Float64Array",
    "Footage",
    "Image",
    "Part",
]

Float64Array = NDArray[np.float64]
Float32Array = NDArray[np.float32]

#: which clips may be shown; "fit" and "validation" are disjoint parts of "train"
SPLITS = ("train", "test", "fit", "validation")


def part_of_training(clips: tuple[int, ...], split: str) -> tuple[int, ...]:
    """The training clips that a split shows: "validation" the last quarter (rounded up), "fit" the others.

    :param clips: of "train"; a single one is in both parts

    >>> part_of_training((0, 1, 2, 3, 4), "fit"), part_of_training((0, 1, 2, 3, 4), "validation")
    ((0, 1, 2), (3, 4))
    """
    held_out = -(-len(clips) // 4)
    if split == "train" or len(clips) == 1:
        return clips
    return clips[:-held_out] if split == "fit" else clips[-held_out:]


class Footage(Protocol):
    """Clips of background pixels."""

    #: True where the canvas is periodic: a pan goes round. False: it is mirrored at the edges.
    wraps: bool

    def clips(self, split: str) -> tuple[int, ...]:
        """The clip numbers of a split, at least one; "train" and "test" share none where there are two.

        "fit" and "validation" are the parts of "train" by :func:`part_of_training`.
        """

    def length(self, clip: int) -> int:
        """How many frames a clip has, at least 1."""

    def frame(self, clip: int, index: int) -> Image:
        """Frame ``index`` in [0, length): (h, w, 3) uint8 RGB, h, w >= the image size, C-contiguous and read-only."""


@dataclass(frozen=True)
class Context:
    """What every part is told when it is made.

    :param split: one of ``SPLITS``: which clips may be shown
    :param action_reference: statistics of the actions that correlations refer to
    :param image_size: side of the square image in pixels
    :param scene: facts of the model; None where a distractor is made without one
    :param of_preset: the part's options whose values are a preset's, not those of whoever named it
    """

    split: str
    action_reference: ActionReference
    image_size: int
    scene: SceneFacts | None = None
    of_preset: frozenset[str] = frozenset()

    def scene_for(self, part: str) -> SceneFacts:
        """The facts, for a part that cannot do without.

        :raises ValueError: when there are none
        """
        if self.scene is None:
            raise ValueError(
                f"distractor {part!r} has to know the model: use it in an environment (gym.make, make_masked), or pass "
                "scene=env.unwrapped.view.facts to make_distractor"
            )
        return self.scene


class Backdrop:
    """What is seen beside the robot at one row: the parts change it in order, then it is drawn.

    ``footage`` and its ``clip`` and frame ``index`` say where the pixels behind the robot come from, and ``opacity`` in
    [0, 1] how much of the scene's own sky they cover; without footage the scene's sky and ground stay.  ``x`` and ``y``
    displace the picture to the right and downwards, in pixels of a 64-pixel-wide image; then ``turn`` (radians,
    clockwise) and ``zoom`` (octaves) turn and enlarge it about the centre.  ``camera``, ``colours``, ``light``,
    ``ghosts`` and ``overlays`` are those of :class:`~masklam_envs.rendering.look.Look`.

    :param qpos: (nq,) the agent's positions in this frame; not to be changed
    """

    # An attribute that is none of these is a mistake, not one more that nobody reads.
    __slots__ = (
        "camera", "clip", "colours", "footage", "ghosts", "index", "light", "opacity", "overlays", "qpos", "turn", "x",
        "y", "zoom",
    )  # fmt: skip

    def __init__(self, qpos: Float64Array) -> None:
        self.qpos = qpos
        self.footage: Footage | None = None
        self.clip = self.index = 0
        self.opacity = 1.0
        self.x = self.y = self.turn = self.zoom = 0.0
        self.camera: CameraChange | None = None
        self.colours: Float64Array | None = None
        self.light: LightChange | None = None
        self.ghosts: tuple[Ghost, ...] = ()
        self.overlays: tuple[Image, ...] = ()


class Backdrops:
    """As :class:`Backdrop`, of n frames at once whose parts show one footage and move it, and do nothing else.

    ``footage`` and ``opacity`` are common to all; arrays (n,) are ``clip`` and ``index``, int64, and ``x``, ``y``,
    ``turn`` and ``zoom``, float64.

    :param count: n
    """

    __slots__ = ("clip", "footage", "index", "opacity", "turn", "x", "y", "zoom")

    def __init__(self, count: int) -> None:
        self.footage: Footage | None = None
        self.opacity = 1.0
        self.clip, self.index = np.zeros((2, count), np.int64)
        self.x, self.y, self.turn, self.zoom = np.zeros((4, count))

    def show(self, footage: Footage, clip: Float64Array, index: Float64Array, opacity: float = 1.0) -> None:
        """Give all frames a picture; ``clip`` and ``index`` (n,) are rounded towards 0."""
        self.footage, self.opacity = footage, opacity
        self.clip, self.index = clip.astype(np.int64), index.astype(np.int64)

    def lengths(self) -> NDArray[np.int64]:
        """How many frames each one's clip has: (n,)."""
        assert self.footage is not None
        clips = self.clip.tolist()
        known = {clip: self.footage.length(clip) for clip in set(clips)}
        return np.array([known[clip] for clip in clips], np.int64)


class Part(ABC):
    """One part of a distractor.

    The constructor takes ``(context, *, option=default, ...)``: its keyword-only parameters are the part's options,
    numbers, strings or lists only, so that a configuration is JSON-able.

    **Track.** A part owns ``width`` columns of the row and a random stream of its own.  The row is all it remembers:
    ``row[0] = start(rng)`` and ``rows[1:] = advance(rng, row[0], actions, states)``.  A live environment calls
    ``advance`` with one action at a time, a dataset with all of them at once, and both must give the same bits.  So
    draw in the order of the steps, by one call for all T (``rng.standard_normal((T, K))``), and use no matrix product:
    BLAS sums in another order for another T.

    **Painter.** ``paint`` writes what a row means into the backdrop.  A part that only shows footage and moves it may
    have ``paint_all`` beside it, which does so for many rows at once.

    A part sets ``width``, the number of its columns; ``lag`` and ``state_lag``, how many steps late it hears of the
    actions and the states (before the first it hears the reference's mean and the first state); and ``ground_alpha``,
    how opaque the scene's ground is over its background, in [0, 1], or None for no say in it.  One whose columns never
    change, and which therefore has neither ``advance`` nor ``increments``, says ``stands_still = True``.
    Configurations may give any part ``split``, which its context then says, and ``seed``, which takes the place of the
    episode's.  A part of others is tried when it is made (:mod:`masklam_envs.distractors.trial`).

    :param context: what every part is told
    """

    width: int
    lag: int = 0
    state_lag: int = 0
    ground_alpha: float | None = None
    stands_still: bool = False
    seed: int | None = None

    def __init__(self, context: Context) -> None:
        self.context = context

    @abstractmethod
    def start(self, rng: np.random.Generator) -> Float64Array:
        """The columns at frame 0: (width,)."""

    def increments(self, rng: np.random.Generator, actions: Float64Array, states: Float32Array) -> Float64Array:
        """What each step adds to the columns: (T, width).

        :param rng: the part's stream
        :param actions: (T, A), of ``lag`` steps ago
        :param states: (T, S), ``concat(qpos, qvel)`` before each step, of ``state_lag`` steps ago
        """
        return np.zeros((len(actions), self.width))

    def advance(
        self, rng: np.random.Generator, row: Float64Array, actions: Float64Array, states: Float32Array
    ) -> Float64Array:
        """The columns after each of T steps from ``row``: (T, width).

        By default the running sum of ``increments``; a part whose steps depend on where it stands (a walk with bounds)
        overrides this with a loop.
        """
        steps = self.increments(rng, actions, states)
        if len(steps) == 1:
            return row + steps
        return np.add.accumulate(np.concatenate([row[None], steps]), axis=0)[1:]

    @abstractmethod
    def paint(self, row: Float64Array, backdrop: Backdrop) -> None:
        """Change the backdrop as the columns ``row`` (width,) say."""

    def paint_all(self, rows: Float64Array, backdrops: Backdrops) -> None:
        """Change the backdrops of n frames, to the bit as ``paint`` changes each; ``rows`` is (n, width).

        It is called where all parts of a distractor have it, defined in the class that defines ``paint`` or below it.
        """
        raise NotImplementedError(f"{type(self).__name__} paints one row at a time")

    @property
    def paints_together(self) -> bool:
        """Whether there is a ``paint_all`` that knows of the part's ``paint``."""
        line = [name for cls in type(self).__mro__ for name in ("paint_all", "paint") if name in vars(cls)]
        return line[0] == "paint_all"

    def motion(self, rows: Float64Array) -> Float64Array | None:
        """The (T, K) displacements between the columns of T + 1 rows; None where nothing moves."""
        return None

    def driver(self, actions: Float64Array, states: Float32Array) -> Float64Array:
        """What the correlation of ``motion`` refers to, given what the part has heard: (T, A)."""
        return actions
