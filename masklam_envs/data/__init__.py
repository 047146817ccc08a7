"""Recorded physics, its frames under any distractor, and windows of them."""

from masklam_envs.data.blocks import Blocks
from masklam_envs.data.cache import open_frames
from masklam_envs.data.collect import collect
from masklam_envs.data.faulty import faulty_frames
from masklam_envs.data.frames import Frames, LazyFrames, pixel_trajectories, render_frames
from masklam_envs.data.loader import WindowLoader
from masklam_envs.data.replay import check_replay
from masklam_envs.data.store import EpisodeWriter
from masklam_envs.data.subsets import Splits, labelled_anchors, split_episodes, split_frames
from masklam_envs.data.trajectories import Trajectories
from masklam_envs.data.windows import Window, WindowBatch, Windows

__all__ = [
    "Blocks",
    "EpisodeWriter",
    "Frames",
    "LazyFrames",
    "Splits",
    "Trajectories",
    "Window",
    "WindowBatch",
    "WindowLoader",
    "Windows",
    "check_replay",
    "collect",
    "faulty_frames",
    "labelled_anchors",
    "open_frames",
    "pixel_trajectories",
    "render_frames",
    "split_episodes",
    "split_frames",
]
