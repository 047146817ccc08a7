"""Windows of consecutive frames inside one episode: what a latent action model is trained on."""

from __future__ import annotations

import copy
import dataclasses
import operator
import warnings
from collections.abc import Sequence
from typing import NamedTuple, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from masklam_envs.data.frames import Frames, LazyFrames
from masklam_envs.data.trajectories import Trajectories


@dataclasses.dataclass(frozen=True)
class WindowBatch:
    """Whole windows: ``frame_stack`` frames up to time t, then ``future_offset`` frames after it.

    :param pixels: (B, T, 3, H, W) uint8
    :param mask: (B, T, 1, H, W) uint8
    :param actions: (B, T - 1, A) float32; ``actions[:, i]`` leads from frame ``i`` to frame ``i + 1``; A = 0 where no
        actions are known
    :param episode: (B,) int64 number of the episode
    :param time: (B,) int64 step of the anchor t within its episode
    """

    pixels: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    actions: NDArray[np.float32]
    episode: NDArray[np.int64]
    time: NDArray[np.int64]


class Window(NamedTuple):
    """One window, as in a :class:`WindowBatch` of it alone: what torch's ``DataLoader`` makes batches of.

    :param pixels: (T, 3, H, W) uint8
    :param mask: (T, 1, H, W) uint8
    :param actions: (T - 1, A) float32
    :param episode: int64 number of the episode
    :param time: int64 step of the anchor t within its episode
    """

    pixels: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    actions: NDArray[np.float32]
    episode: np.int64
    time: np.int64


def short_episodes(trajectories: Trajectories, future_offset: int) -> str | None:
    """A sentence on the episodes in which no window fits, None where there are none.

    :param trajectories: of a dataset
    :param future_offset: frames of a window after its anchor
    """
    short = np.flatnonzero(trajectories.lengths < future_offset)
    if not len(short):
        return None
    return (
        f"{trajectories.name}: no window of {future_offset} steps fits in {len(short)} of {trajectories.episodes} "
        f"episodes (the first is episode {short[0]} with {trajectories.lengths[short[0]]}), so they are left out: "
        "collect longer ones, or lower future_offset"
    )


def warn_of_short_episodes(trajectories: Trajectories, future_offset: int) -> None:
    """Warn of episodes in which no window fits; arguments as of :func:`short_episodes`."""
    complaint = short_episodes(trajectories, future_offset)
    if complaint is not None:
        warnings.warn(complaint, stacklevel=3)


class Windows:
    """Anchors t such that the frames t .. t + future_offset lie in one episode.

    The stack before t repeats the episode's first frame where the episode has just begun, as a frame-stacking
    environment does after a reset, so no window ever crosses an episode's end.  Episodes below ``future_offset`` steps
    have none; :class:`~masklam_envs.data.loader.WindowLoader` and the agents warn of them once.

    A sequence of :class:`Window`: ``windows[i]`` is the one at ``windows.anchors[i]``.  So it is a dataset for torch's
    ``DataLoader`` too, also with workers that are spawned.

    :param frames: trajectories with their frames
    :param frame_stack: frames of a stack, at least 1
    :param future_offset: frames after the anchor, at least 1
    :raises TypeError: for trajectories without their frames
    :raises ValueError: when no episode is long enough
    """

    def __init__(self, frames: Frames | LazyFrames, *, frame_stack: int = 3, future_offset: int = 10) -> None:
        if not isinstance(frames, Frames | LazyFrames):
            raise TypeError(f"windows are of Frames or LazyFrames, see render_frames; got {type(frames).__name__}")
        if frame_stack < 1 or future_offset < 1:
            raise ValueError(f"frame_stack and future_offset must be at least 1, got {frame_stack}, {future_offset}")
        self.frames, trajectories = frames, frames.trajectories
        self.frame_stack, self.future_offset = frame_stack, future_offset
        starts, lengths = trajectories.first_frame, trajectories.lengths
        #: (N,) int64 frame index of every anchor
        self.anchors = np.concatenate(
            [
                np.zeros(0, np.int64),
                *(np.arange(s, s + max(n + 1 - future_offset, 0)) for s, n in zip(starts[:-1], lengths, strict=True)),
            ]
        )
        if not len(self.anchors):
            raise ValueError(
                f"{trajectories.name}: no episode has {future_offset} steps (the longest has "
                f"{lengths.max(initial=0)}): collect longer episodes or lower future_offset"
            )
        self._episode = np.repeat(np.arange(trajectories.episodes), lengths + 1)
        self._starts = starts
        # Anchors of each episode.  Unsigned, so that one comparison finds times before its start, too.
        self._room = np.maximum(lengths + 1 - future_offset, 0).astype(np.uint64)

    def __len__(self) -> int:
        """The number of windows."""
        return len(self.anchors)

    def __getitem__(self, number: SupportsIndex) -> Window:
        """The window of a number in [0, N), or counted from the end in [-N, 0).

        :raises IndexError: for another number
        """
        return self.__getitems__([number])[0]

    def __getitems__(self, numbers: Sequence[SupportsIndex]) -> list[Window]:
        """Several windows, cut together: this is what torch's ``DataLoader`` asks for a batch.

        :param numbers: as in ``windows[number]``
        :raises IndexError: when there is no such window
        """
        chosen = np.array([operator.index(number) for number in numbers], np.int64)
        try:
            anchors = self.anchors[chosen]
        except IndexError as error:
            raise IndexError(f"windows are numbered 0 to {len(self) - 1}: {error}") from None
        batch = self.batch(anchors)
        fields = (getattr(batch, name) for name in Window._fields)
        return [Window(*window) for window in zip(*fields, strict=True)]

    def stack(self, frame: NDArray[np.int64]) -> NDArray[np.int64]:
        """(B, frame_stack) frame indices of the stacks that end at frames (B,), oldest first."""
        offsets = np.arange(1 - self.frame_stack, 1)
        first = self._starts[self._episode[frame]]
        return np.maximum(frame[:, None] + offsets, first[:, None])

    def step(self, frame: NDArray[np.int64]) -> NDArray[np.int64]:
        """(B,) index of the transition that leaves frames (B,)."""
        return frame - self._episode[frame]

    def batch(self, anchors: ArrayLike) -> WindowBatch:
        """The whole windows at anchors (B,), which are of ``self.anchors``: frames with their future in one episode.

        :raises ValueError: where no window fits; names the frame and the episode's anchors
        """
        from masklam_envs.data.unpack import unpacked  # Numba is imported only when a batch is wanted

        anchors, episode, time = self._placed(anchors)
        after = anchors[:, None] + np.arange(1, self.future_offset + 1)
        index = np.concatenate((self.stack(anchors), after), axis=1)
        frames, places = self.frames.rows(index)
        pixels, mask = unpacked(frames, places)
        # A repeated first frame has no action that leads to the next; the first action stands in its place.
        steps = self.step(index[:, :-1])
        return WindowBatch(pixels, mask, self.frames.trajectories.actions[steps], episode, time)

    def _placed(self, given: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Anchors (B,) with their episodes and the times in these."""
        anchors = np.asarray(given)
        if anchors.ndim != 1 or not anchors.size or anchors.dtype.kind not in "iu":
            raise ValueError(
                f"anchors must be whole numbers (B,), at least one, of windows.anchors, got {anchors.dtype} of shape "
                f"{anchors.shape}: give [3] for one, windows.anchors[where] for booleans"
            )
        anchors = anchors.astype(np.int64, copy=False)
        try:
            episode = self._episode[anchors]
        except IndexError:
            raise ValueError(self._no_window(anchors)) from None
        time = anchors - self._starts[episode]
        if (time.view(np.uint64) >= self._room[episode]).any():
            raise ValueError(self._no_window(anchors))
        return anchors, episode, time

    def _no_window(self, anchors: NDArray[np.int64]) -> str:
        """Which of the frames is no anchor, and what would be."""
        wrong = int(anchors[~np.isin(anchors, self.anchors)][0])
        if not 0 <= wrong < len(self._episode):
            return f"there is no frame {wrong} among 0 to {len(self._episode) - 1}; take anchors of windows.anchors"
        episode = int(self._episode[wrong])
        first, count = int(self._starts[episode]), int(self._room[episode])
        anchors_are = f"whose anchors are {first} to {first + count - 1}" if count else "which is too short for any"
        return (
            f"frame {wrong} is no anchor: a window needs {self.future_offset} frames after it in its episode, number "
            f"{episode}, {anchors_are}; take anchors of windows.anchors"
        )

    def twin(self) -> Windows:
        """The same windows for another thread: frames that are drawn get a renderer of their own."""
        other = copy.copy(self)
        if isinstance(self.frames, LazyFrames):
            other.frames = self.frames.twin()
        return other

    def episode(self, frame: NDArray[np.int64]) -> NDArray[np.int64]:
        """(B,) number of the episode that frames (B,) are of."""
        return self._episode[frame]

    def observation(self, frame: NDArray[np.int64]) -> dict[str, NDArray[np.uint8]]:
        """What a frame-stacking environment would show at frames (B,).

        :return: ``pixels`` (B, H, W, 3 * frame_stack) and ``mask`` (B, H, W, frame_stack), uint8, oldest frame first
        """
        frames, places = self.frames.rows(self.stack(frame))
        rgbm = frames[places].transpose(0, 2, 3, 1, 4)
        batch, height, width = rgbm.shape[:3]
        return {"pixels": rgbm[..., :3].reshape(batch, height, width, -1), "mask": rgbm[..., 3].copy()}
