"""Episodes as video files.

* ``RecordMaskVideo`` - the frames an agent sees, with the mask's outline.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from masklam_envs.errors import unknown_name
from masklam_envs.pictures import VIDEO_SUFFIXES, outlined, write_video
from masklam_envs.wrappers.checks import checked_spaces, checked_whole

__all__ = ["RecordMaskVideo"]


class RecordMaskVideo(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Writes the newest frame of every observation, enlarged and with the mask's outline, as a video an episode.

    The file is written at the episode's end, at the next reset or at ``close``, whichever comes first, and has a
    temporary name until it is whole.  Unlike Gymnasium's ``RecordVideo`` it needs no ``render_mode`` and no MoviePy.

    :param env: an environment with ``pixels`` and ``mask``
    :param folder: where to write ``<name>-episode-<number>.mp4``; made if missing.  Existing files are replaced
    :param episode_trigger: k: episodes 0, k, 2k, ...; or a function from an episode's number to whether it is recorded
        (with a function the ``spec`` does not survive JSON)
    :param name: beginning of the files' names
    :param suffix: ``".mp4"`` (OpenCV), ``".gif"`` or ``".webp"``
    :param scale: screen pixels of a frame's pixel, in [1, 32]
    :param outline: False: the frames without the mask's outline
    :param fps: frames a second; None: the environment's ``render_fps``, else 20
    :raises TypeError, ValueError: when the environment has not, or an argument is out of range

    >>> import gymnasium as gym, masklam_envs, os, tempfile
    >>> from masklam_envs.wrappers import RecordMaskVideo
    >>> folder = tempfile.mkdtemp()
    >>> env = RecordMaskVideo(gym.make("MaskHopper-v0"), folder, episode_trigger=10)
    >>> env.observation_space["pixels"]
    Box(0, 255, (64, 64, 3), uint8)
    >>> _ = env.reset(seed=0), env.step(env.action_space.sample()), env.close()
    >>> os.listdir(folder)
    ['masklam-episode-0.mp4']
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        folder: str,
        episode_trigger: int | Callable[[int], bool] = 1,
        name: str = "masklam",
        suffix: str = ".mp4",
        scale: int = 4,
        outline: bool = True,
        fps: float | None = None,
    ) -> None:
        known: dict[str, Any] = checked_spaces("RecordMaskVideo", env)
        channels = known["pixels"].shape[2] // known["mask"].shape[2]
        if channels not in (1, 3):
            raise ValueError(f"RecordMaskVideo needs frames in colour or grey, got {channels} channels a frame")
        if suffix not in VIDEO_SUFFIXES:
            raise ValueError(unknown_name("video format", suffix, VIDEO_SUFFIXES))
        if not callable(episode_trigger):
            checked_whole("RecordMaskVideo", "episode_trigger", episode_trigger, 1, 2**31)
        if fps is not None and not (isinstance(fps, (int, float)) and 0 < fps <= 1000):
            raise ValueError(f"RecordMaskVideo: fps must be a number above 0 and up to 1000, got {fps!r}")
        checked_whole("RecordMaskVideo", "scale", scale, 1, 32)
        RecordConstructorArgs.__init__(
            self,
            folder=os.fspath(folder),
            episode_trigger=episode_trigger,
            name=name,
            suffix=suffix,
            scale=scale,
            outline=outline,
            fps=fps,
        )
        gym.Wrapper.__init__(self, env)
        self.folder = Path(folder).absolute()
        self.episode_trigger, self.name, self.suffix = episode_trigger, name, suffix
        self.scale, self.outline, self._channels = scale, outline, channels
        self.fps = float(fps or env.metadata.get("render_fps") or 20)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._episode = -1
        self._frames: list[tuple[np.ndarray, np.ndarray]] | None = None  # of the episode being recorded

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode, and its video when it is to be recorded."""
        self._write()
        observation, info = self.env.reset(seed=seed, options=options)
        self._episode += 1
        if self._recorded(self._episode):
            self._frames = []
            self._keep(observation)
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """One step; at the episode's end its video is written."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._keep(observation)
        if terminated or truncated:
            self._write()
        return observation, reward, terminated, truncated, info

    def close(self) -> None:
        """Write what is recorded and close the environment."""
        self._write()
        super().close()

    def __getstate__(self) -> dict[str, Any]:
        """A copy needs a reset, as the environment inside it: what is recorded is the original's to write."""
        return {**self.__dict__, "_frames": None}

    def _recorded(self, episode: int) -> bool:
        trigger = self.episode_trigger
        return bool(trigger(episode)) if callable(trigger) else episode % trigger == 0

    def _keep(self, observation: dict[str, Any]) -> None:
        if self._frames is not None:
            newest = observation["pixels"][..., -self._channels :], observation["mask"][..., -1:]
            self._frames.append((newest[0].copy(), newest[1].copy()))

    def _write(self) -> None:
        frames, self._frames = self._frames, None
        if frames:
            path = self.folder / f"{self.name}-episode-{self._episode}{self.suffix}"
            write_video(path, (self._picture(*frame) for frame in frames), self.fps)

    def _picture(self, pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
        colours = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
        return outlined(colours, mask if self.outline else np.zeros_like(mask), self.scale)
