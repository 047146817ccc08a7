"""Frames of recorded physics, under any distractor: the same bytes the live environment showed.

:class:`Frames` holds them in memory, :class:`LazyFrames` draws them when they are asked for.
"""

from __future__ import annotations

import copy
import dataclasses
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from masklam_envs.data.remasked import remasked
from masklam_envs.data.replay import warn_of_other_mujoco
from masklam_envs.data.store import EpisodeWriter, open_store, read_manifest
from masklam_envs.data.trajectories import Trajectories, physics_of, replace_dataset
from masklam_envs.env import MaskEnv
from masklam_envs.masks import Seen
from masklam_envs.masks.sources import is_source_of_others, make_live_source, source_config
from masklam_envs.view import View
from masklam_envs.wrappers.outside import FRAMES, check_outside

if TYPE_CHECKING:
    from masklam_envs.data.mask_columns import MaskColumn


@dataclasses.dataclass(frozen=True)
class Frames:
    """Trajectories with pixels and masks of every frame: a dataset for the agents.

    Pixels that came without physics (an imported dataset, a video) are frames like any other: their trajectories have
    no positions, and no actions where none are known; see :func:`pixel_trajectories`.

    :param trajectories: the physics
    :param rgbm: (F, H, W, 4) uint8: RGB under the distractor and, as fourth channel, the agent mask
    :param tracks: per episode the distractor's rows (T + 1, D); (T + 1, 0) where they are not known
    :raises ValueError: when the number of frames is not the trajectories'
    """

    trajectories: Trajectories
    rgbm: NDArray[np.uint8]
    tracks: list[NDArray[np.float64]]

    def __post_init__(self) -> None:
        want = int(self.trajectories.first_frame[-1])
        if self.rgbm.ndim != 4 or self.rgbm.shape[3] != 4 or self.rgbm.dtype != np.uint8 or len(self.rgbm) != want:
            raise ValueError(
                f"rgbm must be uint8 of shape ({want}, H, W, 4): RGB and mask of every frame of the "
                f"{self.trajectories.episodes} episodes; got {self.rgbm.dtype} {self.rgbm.shape}"
            )

    def __len__(self) -> int:
        """The number of frames."""
        return len(self.rgbm)

    @property
    def image_size(self) -> int:
        """Side of a frame, pixels."""
        return int(self.rgbm.shape[1])

    def select(self, episodes: Iterable[int]) -> Frames:
        """The given episodes, copied in the given order."""
        chosen = list(episodes)
        trajectories, starts = self.trajectories.select(chosen), self.trajectories.first_frame
        index = [np.arange(starts[e], starts[e + 1]) for e in chosen]
        return Frames(
            trajectories, self.rgbm[np.concatenate([[], *index]).astype(int)], [self.tracks[e] for e in chosen]
        )

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write physics and pixels; an existing dataset of that name is replaced only when the new one is whole.

        :raises FileExistsError: when ``folder`` exists and is no dataset
        """

        def write(part: Path) -> None:
            with EpisodeWriter(part, self.trajectories.meta) as writer:
                self.trajectories.append_to(writer, self.rgbm)

        replace_dataset(Path(folder), write)

    def with_masks(self, column: MaskColumn) -> Frames:
        """The same frames with other masks; what was wrong with the old ones does not matter.

        They are in memory, or on disk where these are, see :func:`~masklam_envs.data.remasked.remasked`.

        :param column: of all frames of this dataset, see :class:`~masklam_envs.data.mask_columns.MaskColumn`
        :raises ValueError: when it has another number of frames or another size
        """
        _check_fits(column, self.trajectories, self.image_size)
        rgbm = remasked(self.rgbm, column.rows)
        return Frames(_masked_by(self.trajectories, column), rgbm, self.tracks)

    @classmethod
    def load(cls, folder: str | os.PathLike[str], *, masks: str | None = None, verify: bool | None = None) -> Frames:
        """Open a dataset with pixels, which stay on disk until they are used.

        :param folder: written by :meth:`save` or `masklam import`
        :param masks: name of a column of masks (``masklam segment``) instead of the dataset's own: the frames then
            lie in a file beside them as long as they are used, and there is a warning when the masks are of little use
        :param verify: as in :meth:`Trajectories.load`
        :raises FileNotFoundError: when there is none
        :raises ValueError: when it holds no pixels, is damaged or of a newer format
        """
        folder = Path(folder)
        manifest = read_manifest(folder)
        if "rgbm" not in manifest["fields"]:
            raise ValueError(f"{folder} holds physics and no pixels: draw them with render_frames or LazyFrames")
        stored = open_store(folder, manifest, verify=verify)
        trajectories = Trajectories(stored.meta, **physics_of(stored.arrays, stored.records))
        frames = cls(trajectories, stored.arrays["rgbm"], [np.zeros((n + 1, 0)) for n in trajectories.lengths])
        return frames if masks is None else frames.with_masks(_column(folder, masks))

    def rows(self, index: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """An array (F, H, W, 4) of frames, and where in it the frames ``index`` are: here the data itself."""
        return self.rgbm, index

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """(F, H, W, 3) view."""
        return self.rgbm[..., :3]

    @property
    def mask(self) -> NDArray[np.uint8]:
        """(F, H, W, 1) view."""
        return self.rgbm[..., 3:]


class LazyFrames:
    """Trajectories whose frames are drawn when they are asked for: any number of episodes in little memory.

    Training draws ``block`` episodes at a time, takes as many samples of them as they have transitions and goes on to
    the next; see :class:`~masklam_envs.data.blocks.Blocks`.  A pickled copy has physics and view, and draws for itself.

    :param trajectories: the physics
    :param env: an environment of this package (only its view is used: model, camera, distractor), or a
        :class:`~masklam_envs.view.View`
    :param block: episodes drawn at a time; 25 of 1,000 steps take 0.4 GB at 64x64, and in training those before are
        let go once the next are drawn
    :param masks: masks of all these frames instead of the view's, see
        :class:`~masklam_envs.data.mask_columns.MaskColumn`; there is a warning when they are of little use
    :raises ValueError: when the physics is of another model, ``block`` is below 1, the masks are of other frames, or a
        wrapper outside the environment changes its frames
    """

    def __init__(
        self,
        trajectories: Trajectories,
        env: MaskEnv | View | Any,
        *,
        block: int = 25,
        masks: MaskColumn | None = None,
    ) -> None:
        if block < 1:
            raise ValueError(f"block must be at least one episode, got {block}")
        self.trajectories, self.block, self.masks = trajectories, block, masks
        self.view = view_for(env, trajectories)
        if masks is not None:
            _check_fits(masks, trajectories, self.image_size)
            masks.check_seen(self.view)
            masks.warn_if_useless()
            self.trajectories = _masked_by(trajectories, masks)
            # What the view would make of masks is not shown: spare the work.
            self.view = self.view.again(mask_source="simulator", mask_faults=None)
        self._episodes: dict[int, _Episode] = {}

    def __getstate__(self) -> dict[str, Any]:
        """For pickle, at any time: physics and view, without what was made to draw it."""
        view = copy.copy(self.view)
        view.__dict__.pop("renderer", None)
        if not is_source_of_others(source_config(view.config.mask_source)["name"]):
            view.mask_source = None  # made again by its name: a session of ONNX Runtime cannot be sent
        return {**self.__dict__, "view": view, "_episodes": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.view.mask_source is None:
            self.view.mask_source = make_live_source(self.view.config.mask_source)

    def twin(self) -> LazyFrames:
        """The same frames by a renderer of its own: what another thread needs."""
        return self.seen_by(self.view.again())

    def seen_by(self, view: View) -> LazyFrames:
        """The same episodes drawn by another view; masks that are not the view's stay."""
        other = LazyFrames(self.trajectories, view, block=self.block)
        other.masks = self.masks
        return other

    def part(self, episodes: Sequence[int]) -> LazyFrames:
        """Some of the episodes, at least one, in the given order, still drawn when they are asked for."""
        other = LazyFrames(self.trajectories.select(episodes), self.view, block=self.block)
        other.masks = None if self.masks is None else self.masks.select(episodes)
        return other

    def __len__(self) -> int:
        """The number of frames."""
        return int(self.trajectories.first_frame[-1])

    @property
    def image_size(self) -> int:
        """Side of a frame, pixels."""
        return self.view.config.image_size

    def select(self, episodes: Iterable[int]) -> Frames:
        """The frames of the given episodes, drawn."""
        chosen = list(episodes)
        frames, starts = render_frames(self.trajectories.select(chosen), self.view), self.trajectories.first_frame
        if self.masks is not None and chosen:
            frames.rgbm[..., 3] = self.masks.rows(np.concatenate([np.arange(*starts[e : e + 2]) for e in chosen]))
        return frames

    def rows(self, index: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """An array (F, H, W, 4) of just the frames ``index`` asks for, and where in it they are."""
        wanted, place = np.unique(index, return_inverse=True)
        starts, size = self.trajectories.first_frame, self.image_size
        rgbm = np.empty((len(wanted), size, size, 4), np.uint8)
        episodes = np.searchsorted(starts, wanted, side="right") - 1
        for out, frame, episode in zip(rgbm, wanted, episodes, strict=True):
            if episode not in self._episodes:
                self._episodes[episode] = _Episode(self.view, self.trajectories, episode)
            self._episodes[episode].draw(int(frame - starts[episode]), out)
        if self.masks is not None:
            rgbm[..., 3] = self.masks.rows(wanted)
        return rgbm, place.reshape(index.shape)


def render_frames(trajectories: Trajectories, env: MaskEnv | View | Any, *, progress_bar: bool = False) -> Frames:
    """Draw every frame of recorded physics.

    :param trajectories: the physics
    :param env: an environment of this package (only its view is used: model, camera, distractor), or a
        :class:`~masklam_envs.view.View`
    :param progress_bar: show one
    :raises ValueError: when the physics is of another model, or a wrapper outside the environment changes its frames
    """
    from tqdm.auto import trange

    view = view_for(env, trajectories)
    size = view.config.image_size
    starts = trajectories.first_frame
    rgbm = np.empty((int(starts[-1]), size, size, 4), np.uint8)
    tracks = []
    for e in trange(trajectories.episodes, disable=not progress_bar, desc="render", unit="episode"):
        tracks.append(draw_episode(view, trajectories, e, rgbm[starts[e] : starts[e + 1]]))
    if view.masks_name != "simulator":  # what is said of masks where nothing is said
        trajectories = dataclasses.replace(trajectories, meta={**trajectories.meta, "masks": view.masks_name})
    return Frames(trajectories, rgbm, tracks)


def draw_episode(view: View, trajectories: Trajectories, episode: int, out: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Draw an episode's frames into ``out`` (T + 1, H, W, 4); returns its distractor's rows (T + 1, D)."""
    drawn = _Episode(view, trajectories, episode)
    for t, frame in enumerate(out):
        drawn.draw(t, frame)
    return drawn.rows


def pixel_trajectories(
    meta: dict[str, Any],
    lengths: Sequence[int],
    *,
    actions: NDArray[np.float32] | None = None,
    rewards: NDArray[np.float32] | None = None,
    terminated: Sequence[bool] | None = None,
    states: NDArray[np.float32] | None = None,
    seeds: Sequence[int] | None = None,
) -> Trajectories:
    """Trajectories of episodes that came as pixels.

    :param meta: where they come from; its ``action_low`` and ``action_high`` (A numbers each) bound the actions
    :param lengths: steps of each episode, one less than its frames
    :param actions: (N, A); None: none are known
    :param rewards: (N,); None: 0
    :param terminated: per episode; None: none was
    :param states: (F, S) whatever was recorded beside the pixels; stands where velocities stand, since nothing is drawn
        from it
    :param seeds: reset seeds of the episodes; None: 0, 1, ..
    """
    steps, episodes = int(sum(lengths)), len(lengths)
    acted = np.zeros((steps, 0), np.float32) if actions is None else np.asarray(actions, np.float32)
    numbers = np.arange(episodes) if seeds is None else np.asarray(seeds, np.int64)
    return Trajectories(
        meta,
        qpos=np.zeros((steps + episodes, 0)),
        qvel=np.zeros((steps + episodes, 0), np.float32) if states is None else np.asarray(states, np.float32),
        actions=acted,
        labels=acted,
        rewards=np.zeros(steps, np.float32) if rewards is None else np.asarray(rewards, np.float32),
        lengths=np.asarray(lengths, np.int64),
        terminated=np.zeros(episodes, np.bool_) if terminated is None else np.asarray(terminated, np.bool_),
        reset_seeds=numbers,
        distractor_seeds=np.zeros(episodes, np.int64),
    )


def _column(folder: Path, name: str) -> MaskColumn:
    from masklam_envs.data.mask_columns import MaskColumn

    column = MaskColumn.load(folder, name)
    column.warn_if_useless()
    return column


def _masked_by(trajectories: Trajectories, column: MaskColumn) -> Trajectories:
    return dataclasses.replace(trajectories, meta={**trajectories.meta, "masks": column.name})


def _check_fits(column: MaskColumn, trajectories: Trajectories, size: int) -> None:
    count = int(trajectories.first_frame[-1])
    if column.soft.shape != (count, size, size):
        raise ValueError(
            f"the masks {column.name!r} are {column.soft.shape[0]} of {column.soft.shape[1:]} pixels, the dataset has "
            f"{count} frames of {(size, size)}"
        )
    if not column.is_of(trajectories):
        raise ValueError(
            f"the masks {column.name!r} are of other episodes, or of these in another order: give the masks and the "
            "trajectories of one dataset, select episodes afterwards"
        )


def view_for(env: MaskEnv | View | Any, trajectories: Trajectories) -> View:
    """An environment's view, or the view itself, once it is seen to draw these trajectories.

    :raises ValueError: when the physics is of another model, or there is none
    """
    view = view_of(env)
    if view is not env:  # a bare view is what blocks of an opened dataset are drawn with, over and over
        warn_of_other_mujoco(trajectories)
    if not trajectories.qpos.shape[1]:
        raise ValueError("the dataset came as pixels and has no positions to draw from: open it with Frames.load")
    if trajectories.qpos.shape[1] != view.model.nq:
        raise ValueError(
            f"the trajectories have {trajectories.qpos.shape[1]} positions, the model has {view.model.nq}: "
            f"they were recorded in {trajectories.meta.get('base')}"
        )
    recorded = trajectories.meta.get("joints", view.joints)  # unknown in data from elsewhere
    if recorded != view.joints:
        base = trajectories.meta.get("base")
        raise ValueError(
            f"the trajectories are of another model, that of {base}: they hold the joints {', '.join(recorded)}, this "
            f"one has {', '.join(view.joints)}; draw them with an environment of {base}"
        )
    return view


def view_of(env: MaskEnv | View | Any) -> View:
    """What an environment's frames are drawn with; a view is itself.

    :raises ValueError: when a wrapper outside changes what they show
    :raises TypeError: when the environment is none of this package
    """
    if isinstance(env, View):
        return env
    check_outside(env, "frames are drawn by", (FRAMES,))
    view = getattr(getattr(env, "unwrapped", None), "view", None)
    if not isinstance(view, View):
        raise TypeError(f"frames are drawn by an environment of masklam_envs, got {env!r}; see make_masked")
    return view


class _Episode:
    """A recorded episode as it is drawn: its distractor's rows (T + 1, D) and its masks' faults."""

    def __init__(self, view: View, trajectories: Trajectories, episode: int) -> None:
        seed = int(trajectories.distractor_seeds[episode])
        self.view = view
        self.qpos = trajectories.qpos[slice(*trajectories.first_frame[episode : episode + 2])]
        self.rows = episode_track(view, trajectories, episode)
        self.faults = view.episode_faults(seed, length=len(self.rows), draw=lambda t: self._seen(t)[1])

    def draw(self, t: int, out: NDArray[np.uint8]) -> None:
        """Frame ``t`` and its mask into ``out`` (H, W, 4)."""
        pixels, seen = self._seen(t)
        out[..., :3], out[..., 3:] = self.faults.at(t, pixels, seen.mask, seen.ghost)

    def _seen(self, t: int) -> tuple[NDArray[np.uint8], Seen]:
        """Pixels and what is true of frame ``t``."""
        qpos, row = self.qpos[t], self.rows[t]
        pixels, mask = self.view.frame(qpos, row)
        ghost = self.view.ghost_pixels(qpos, row, pixels, mask) if self.faults.needs_ghost else None
        return pixels, Seen(mask, ghost, pixels)


def episode_track(view: View, trajectories: Trajectories, episode: int) -> NDArray[np.float64]:
    """The distractor's rows (T + 1, D) of an episode."""
    seed = int(trajectories.distractor_seeds[episode])
    return view.distractor.track(seed, trajectories.episode_actions(episode), trajectories.states(episode))
