"""What is in a dataset, and what in it would make a result of a latent action model meaningless.

:func:`audit` measures; :mod:`masklam_envs.data.audit_report` prints and draws.  Pixels are looked at in a sample: runs
of frames from episodes spread over the dataset.
"""

from __future__ import annotations

import dataclasses
import itertools
import zlib
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from masklam_envs.correlation import Correlation, correlation_of
from masklam_envs.data.formats.convert import open_own
from masklam_envs.data.frames import Frames, LazyFrames, episode_track
from masklam_envs.data.mask_check import mask_complaints
from masklam_envs.data.mask_columns import FOLDER, MaskColumn, mask_columns
from masklam_envs.data.replay import check_replay
from masklam_envs.data.store import damaged_episodes, read_fields, read_manifest, read_records
from masklam_envs.data.trajectories import Trajectories
from masklam_envs.masks.threshold import is_agent
from masklam_envs.optional import opencv

# A sample of pixels: so many runs, each of at most so many frames.
RUNS, RUN_FRAMES = 8, 120
# Transitions whose distractor motion is measured, at most.
MOTION_STEPS = 20_000
# Frames of MaskLAM's windows: a stack of three and ten after it.
PAPER_STEPS = 10
SATURATED = 0.999  # of the bound
# How much more alike (IoU) the neighbours of a blinking mask are than it is like either of them.
BLINK = 0.3


@dataclasses.dataclass(frozen=True)
class PixelFacts:
    """What a sample of pixels shows.

    :param frames: looked at
    :param agent: (n,) share of each frame's pixels that the mask covers
    :param steady: (m,) IoU of the masks of neighbouring frames, both of which show the agent; fast limbs lower it too
    :param blinks: share of frames whose mask is unlike both its neighbours, which are like each other
    :param frozen: share of steps in which no pixel changes
    :param longest_freeze: steps in a row
    :param copies: share of frames that are equal to an earlier one, the one just before aside
    :param touching: share of frames whose mask reaches the border
    :param pictures: (k, H, W, 4) some frames
    """

    frames: int
    agent: NDArray[np.float64]
    steady: NDArray[np.float64]
    blinks: float
    frozen: float
    longest_freeze: int
    copies: float
    touching: float
    pictures: NDArray[np.uint8]


@dataclasses.dataclass(frozen=True)
class Audit:
    """An audited dataset.

    :param name: its folder
    :param meta: where it comes from
    :param damaged: what is damaged, a sentence each; then nothing else was measured
    :param lengths: (E,) steps
    :param returns: (E,)
    :param actions: (N, A) the executed actions
    :param variance: (A,) of the actions, clipped to their bounds; its mean is the denominator of NMSE
    :param saturation: (A,) share of the actions at a bound
    :param repeated: episodes that are the same as an earlier one
    :param correlation: of the background's motion with the actions, or None where nothing moves or too few are there
    :param motion: how that motion was found: ``"track"`` or ``"pixels"``
    :param pixels: what a sample of pixels shows, or None
    :param columns: per column of masks how good it is, in words
    :param replay: what playing recorded actions again gave, in words
    :param flags: what would make a result meaningless, a sentence each
    """

    name: str
    meta: dict[str, Any]
    damaged: list[str]
    lengths: NDArray[np.int64]
    returns: NDArray[np.float64]
    actions: NDArray[np.float32]
    variance: NDArray[np.float64]
    saturation: NDArray[np.float64]
    repeated: list[int]
    correlation: Correlation | None
    motion: str
    pixels: PixelFacts | None
    columns: dict[str, str]
    replay: str
    flags: list[str]


def audit(
    folder: Path, *, view: dict[str, Any] | None = None, env: str | None = None, masks: str | None = None
) -> Audit:
    """Measure a dataset.

    :param folder: of a dataset of ours
    :param view: keyword arguments of the environment through which physics is seen
    :param env: id of that environment; None: the one it was recorded in
    :param masks: name of a column of masks to look at instead of the dataset's own
    :raises FileNotFoundError: when there is none
    :raises ValueError: when its manifest or records are damaged, or there are no such masks
    """
    folder = Path(folder)
    damaged = damage_of(folder)
    if damaged:
        return _damaged(folder, damaged)
    frames = open_own(folder, view=view, env=env, masks=masks)
    recorded = frames.trajectories
    low, high = (np.asarray(recorded.meta.get(key, []), np.float64) for key in ("action_low", "action_high"))
    actions = recorded.actions
    bounded = low.size == actions.shape[1] and low.size > 0
    motion, correlation = _correlation(frames)
    found = Audit(
        name=folder.name,
        meta=recorded.meta,
        damaged=[],
        lengths=recorded.lengths,
        returns=recorded.returns,
        actions=actions,
        variance=(np.clip(actions, low, high) if bounded else actions).astype(np.float64).var(axis=0),
        saturation=_saturation(actions, low, high) if bounded else np.zeros(actions.shape[1]),
        repeated=repeated_episodes(frames),
        correlation=correlation,
        motion=motion,
        pixels=pixel_facts(frames),
        columns={name: _quality_of(folder, name) for name in mask_columns(folder)},
        replay=_replayed(recorded),
        flags=[],
    )
    return dataclasses.replace(found, flags=flags_of(found, bounded) + _mask_flags(frames))


def damage_of(folder: Path) -> list[str]:
    """Every episode and field, of the dataset and of its columns of masks, whose checksum differs; all is read."""
    manifest = read_manifest(folder)
    if manifest["format_version"] == 1:
        Trajectories.load(folder)  # always verified
        return []
    found: list[str] = []
    for path in (folder, *(folder / FOLDER / name for name in mask_columns(folder))):
        fields = read_fields(read_manifest(path), path)
        found += damaged_episodes(path, fields, read_records(path, fields))
    return found


def pixel_facts(frames: Frames | LazyFrames) -> PixelFacts | None:
    """Look at runs of frames spread over the dataset; None where there is no frame."""
    runs = _runs(frames)
    if not runs:
        return None
    masks = [is_agent(run[..., 3]) for run in runs]
    agent = np.concatenate([mask.mean(axis=(1, 2)) for mask in masks])
    steady = [_overlap(mask[:-1], mask[1:]) for mask in masks]
    blinks = np.concatenate([_blinks(mask) for mask in masks])
    still = [(run[1:, ..., :3] == run[:-1, ..., :3]).all(axis=(1, 2, 3)) for run in runs]
    border = np.concatenate(
        [mask[:, [0, -1]].any(axis=(1, 2)) | mask[:, :, [0, -1]].any(axis=(1, 2)) for mask in masks]
    )
    return PixelFacts(
        frames=len(agent),
        agent=agent,
        steady=np.concatenate([overlap[~np.isnan(overlap)] for overlap in steady]),
        blinks=float(blinks.mean()) if blinks.size else 0.0,
        frozen=float(np.concatenate(still).mean()) if sum(map(len, still)) else 0.0,
        longest_freeze=max(_longest(each) for each in still),
        copies=_copies(runs),
        touching=float(border.mean()),
        pictures=np.stack([run[len(run) // 2] for run in runs]),
    )


def _copies(runs: list[NDArray[np.uint8]]) -> float:
    """Share of frames whose pixels were there before, but not just before."""
    seen: set[int] = set()
    copies = 0
    for run in runs:
        last = None
        for frame in run[..., :3]:
            key = zlib.crc32(np.ascontiguousarray(frame).data)
            copies += key in seen and key != last
            seen.add(key)
            last = key
    return copies / sum(map(len, runs))


def repeated_episodes(frames: Frames | LazyFrames) -> list[int]:
    """Episodes with the same actions, positions and, where pixels are all there is, first frames as an earlier one."""
    seen, repeated = set(), []
    recorded = frames.trajectories
    for e in range(recorded.episodes):
        first, last = recorded.first_frame[e : e + 2]
        parts = [recorded.episode_actions(e), recorded.qpos[first:last]]
        if isinstance(frames, Frames):
            parts.append(frames.rgbm[first : min(first + 3, last)])
        key = tuple(zlib.crc32(np.ascontiguousarray(part).tobytes()) for part in parts)
        if key in seen:
            repeated.append(e)
        seen.add(key)
    return repeated


def background_motion(rgbm: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How the picture outside the mask is displaced from frame to frame: (T - 1, 2) pixels right and down.

    By phase correlation, with the agent painted over by the picture's mean.

    :param rgbm: (T, H, W, 4) uint8
    """
    cv2 = opencv()
    grey = rgbm[..., :3].astype(np.float32).mean(axis=3)
    agent = is_agent(rgbm[..., 3])
    means = np.array([g[~a].mean() if (~a).any() else 0.0 for g, a in zip(grey, agent, strict=True)])
    painted = np.where(agent, means[:, None, None].astype(np.float32), grey)
    window = cv2.createHanningWindow(grey.shape[:0:-1], cv2.CV_32F)
    pairs = itertools.pairwise(painted)
    return np.array([cv2.phaseCorrelate(a, b, window)[0] for a, b in pairs], np.float64).reshape(-1, 2)


def flags_of(found: Audit, bounded: bool) -> list[str]:
    """What would make a result meaningless."""
    flags = []
    acts, episodes = found.actions.shape[1], len(found.lengths)
    if episodes < 2:
        flags.append("one episode: nothing can be held out")
    if len(short := np.flatnonzero(found.lengths < PAPER_STEPS)):
        flags.append(
            f"{len(short)} of {episodes} episodes are below {PAPER_STEPS} steps (the first is {short[0]}): no window "
            "of the papers fits in them"
        )
    if found.repeated:
        flags.append(
            f"{len(found.repeated)} episodes repeat earlier ones (the first is {found.repeated[0]}): held-out episodes "
            "are not held out"
        )
    if len(odd := np.flatnonzero(~np.isfinite(found.returns))):
        flags.append(
            f"{len(odd)} episodes (the first is {odd[0]}) have rewards that are not finite numbers: their returns mean "
            "nothing"
        )
    if not acts:
        flags.append("no actions: stage 1 trains, but neither the decoder nor a probe")
    elif bounded:
        flags += _action_flags(found)
    else:
        flags.append("the actions' bounds are not known: saturation is not measured")
    if found.pixels is not None:
        flags += _pixel_flags(found.pixels, found.meta)
    if found.correlation is not None and found.correlation.r2 > 0.9:
        flags.append(
            f"the background's motion is explained by the actions (R2 {found.correlation.r2:.2f}): a latent that shows "
            "the background alone has a low NMSE"
        )
    if "leaves" in found.replay:
        flags.append(f"physics here is not that of the dataset: {found.replay}")
    return flags


def _action_flags(found: Audit) -> list[str]:
    flags = []
    if wrong := int((~np.isfinite(found.actions)).any(axis=1).sum()):
        return [f"the actions of {wrong} steps are not finite numbers: training on them ends in nan; leave them out"]
    constant = np.flatnonzero(found.variance < 1e-4)
    if constant.size:
        flags.append(f"action dimensions {constant.tolist()} hardly change: NMSE divides by next to nothing")
    if (share := float(found.saturation.mean())) > 0.8:
        flags.append(f"{share:.0%} of the actions are at a bound: a probe of their sign is all there is to find")
    low, high = (np.asarray(found.meta[key]) for key in ("action_low", "action_high"))
    if len(found.actions) and ((found.actions < low - 1e-6) | (found.actions > high + 1e-6)).any():
        flags.append("actions lie outside their bounds: clip them before NMSE is compared with the papers'")
    return flags


def _pixel_flags(pixels: PixelFacts, meta: dict[str, Any]) -> list[str]:
    flags = []
    empty = float((pixels.agent == 0).mean())
    if empty == 1:
        flags.append(
            "no masks: a masked loss has nothing to look at"
            if meta.get("masks") == "none"
            else "every mask is empty: a masked loss has nothing to look at"
        )
    elif empty > 0.1:
        flags.append(f"the mask is empty in {empty:.0%} of the frames")
    seen = pixels.agent[pixels.agent > 0]
    if seen.size and np.median(seen) < 0.005:
        flags.append(f"the agent covers {np.median(seen):.2%} of the frame: too little to show how it moves")
    if seen.size and np.median(seen) > 0.6:
        flags.append(f"the mask covers {np.median(seen):.0%} of the frame: it masks next to nothing")
    if pixels.blinks > 0.05:
        flags.append(f"the mask flickers: {pixels.blinks:.0%} of the masks are unlike both of their neighbours")
    if pixels.frozen > 0.05:
        flags.append(
            f"{pixels.frozen:.0%} of the steps change no pixel (up to {pixels.longest_freeze} in a row): there is no "
            "action to see in them"
        )
    if pixels.copies > 0.05:
        flags.append(
            f"{pixels.copies:.0%} of the frames are copies of earlier ones: a loop, or clips that are there twice, "
            "which held-out episodes then share"
        )
    return flags


def _mask_flags(frames: Frames | LazyFrames) -> list[str]:
    """Complaints of masks that can be compared with the simulator's."""
    complaints = mask_complaints(frames) if isinstance(frames, LazyFrames) else []
    return [f"the masks are of little use: {'; '.join(complaints)}"] if complaints else []


def _quality_of(folder: Path, name: str) -> str:
    """How good a column of masks is, or what is wrong with it."""
    try:
        quality = MaskColumn.load(folder, name).quality
    except ValueError as error:
        return str(error)
    return "nothing to compare them with" if quality is None else str(quality)


def _correlation(frames: Frames | LazyFrames) -> tuple[str, Correlation | None]:
    """The background's motion against the actions: from the distractor's track, or from pixels alone."""
    recorded = frames.trajectories
    if not recorded.actions.shape[1]:
        return "", None
    moved, acted, way = [], [], "track" if isinstance(frames, LazyFrames) else "pixels"
    for e in range(recorded.episodes):
        actions = recorded.episode_actions(e)
        if isinstance(frames, LazyFrames):
            motion = frames.view.distractor.motion(episode_track(frames.view, recorded, e))
        else:
            first = int(recorded.first_frame[e])
            actions = actions[: RUN_FRAMES - 1]
            motion = background_motion(frames.rgbm[first : first + len(actions) + 1])
        if motion is None:
            return way, None
        moved.append(motion)
        acted.append(actions)
        if sum(map(len, acted)) >= MOTION_STEPS:
            break
    try:
        return way, correlation_of(np.concatenate(moved), np.concatenate(acted))
    except ValueError:  # too few samples
        return way, None


def _runs(frames: Frames | LazyFrames) -> list[NDArray[np.uint8]]:
    """Runs of neighbouring frames from episodes spread over the dataset."""
    recorded = frames.trajectories
    chosen = np.unique(np.linspace(0, recorded.episodes - 1, min(RUNS, recorded.episodes)).astype(int))
    runs = []
    for e in chosen:
        first, last = recorded.first_frame[e : e + 2].tolist()
        start = first + max(0, (last - first - RUN_FRAMES) // 2)
        rows, place = frames.rows(np.arange(start, min(start + RUN_FRAMES, last)))
        runs.append(rows[place])
    return runs


def _overlap(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(T,) IoU of masks (T, H, W); NaN where one of them is empty."""
    both = (first & second).sum(axis=(1, 2)).astype(np.float64)
    either = (first | second).sum(axis=(1, 2))
    shown = first.any(axis=(1, 2)) & second.any(axis=(1, 2))
    return np.divide(both, either, out=np.full(len(both), np.nan), where=shown)


def _blinks(masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether a mask is much less like its neighbours than they are like each other; motion does not do that."""
    if len(masks) < 3:
        return np.zeros(0, np.bool_)
    near = np.nan_to_num(_overlap(masks[:-1], masks[1:]))
    around = np.nan_to_num(_overlap(masks[:-2], masks[2:]))
    return np.asarray(around - np.maximum(near[:-1], near[1:]) > BLINK, np.bool_)


def _longest(flags: NDArray[np.bool_]) -> int:
    longest = run = 0
    for flag in flags:
        run = run + 1 if flag else 0
        longest = max(longest, run)
    return longest


def _saturation(actions: NDArray[np.float32], low: Any, high: Any) -> NDArray[np.float64]:
    if not len(actions):
        return np.zeros(actions.shape[1])
    centre, half = (high + low) / 2, (high - low) / 2
    return np.asarray((np.abs(actions - centre) >= SATURATED * half).mean(axis=0), np.float64)


def _replayed(recorded: Trajectories) -> str:
    if not recorded.qpos.shape[1] or not len(recorded):
        return "no physics to play again"
    try:
        replay = check_replay(recorded)
    except (ValueError, gym.error.Error) as error:
        return f"cannot be played again: {error}"
    if replay.differs_at is None:
        return f"{replay.steps} steps played again give the recorded positions to the last bit"
    episode, frame = replay.differs_at
    return f"played again, episode {episode} leaves its positions at frame {frame}, by up to {replay.largest:.2g}"


def _damaged(folder: Path, damaged: list[str]) -> Audit:
    nothing = np.zeros(0)
    return Audit(
        name=folder.name,
        meta=read_manifest(folder)["meta"],
        damaged=damaged,
        lengths=np.zeros(0, np.int64),
        returns=nothing,
        actions=np.zeros((0, 0), np.float32),
        variance=nothing,
        saturation=nothing,
        repeated=[],
        correlation=None,
        motion="",
        pixels=None,
        columns={},
        replay="",
        flags=[f"{len(damaged)} pieces are damaged, nothing else was measured"],
    )
