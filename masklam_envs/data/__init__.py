"""Recorded physics, its frames under any distractor, and windows of them."""

from masklam_envs.data.collect import collect
from masklam_envs.data.frames import Frames, render_frames
from masklam_envs.data.trajectories import Trajectories
from masklam_envs.data.windows import WindowBatch, Windows

__all__ = ["Frames", "Trajectories", "WindowBatch", "Windows", "collect", "render_frames"]
