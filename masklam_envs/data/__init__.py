"""Recorded physics, its frames under any distractor, and windows of them."""

from masklam_envs.data.blocks import Blocks
from masklam_envs.data.collect import collect
from masklam_envs.data.frames import Frames, LazyFrames, render_frames
from masklam_envs.data.trajectories import Trajectories
from masklam_envs.data.windows import WindowBatch, Windows

__all__ = ["Blocks", "Frames", "LazyFrames", "Trajectories", "WindowBatch", "Windows", "collect", "render_frames"]
