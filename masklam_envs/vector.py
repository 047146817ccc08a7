"""Many pixel-and-mask environments in one process: ``gym.make_vec("MaskCheetah-v0", num_envs=64)``."""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array
from numpy.typing import NDArray

from masklam_envs.batch.infos import merged
from masklam_envs.batch.physics import Outcomes, is_plain, make_physics
from masklam_envs.batch.threads import Threads, usable_cores
from masklam_envs.batch.tracks import BatchTrack
from masklam_envs.env import MaskEnv, within_bounds
from masklam_envs.errors import unknown_name
from masklam_envs.rendering.look import CLEAN

if TYPE_CHECKING:
    from masklam_envs.rendering.batch import Plates, RaycastBatch

# Channels of the images that may be drawn.
_CHANNELS = {"pixels": 3, "mask": 1, "clean": 3}
#: methods that belong to the batch: calling them on one environment would leave the others behind.
OF_THE_BATCH = ("reset", "step", "begin", "close")


class MaskVectorEnv(VectorEnv[dict[str, Any], NDArray[np.float32], NDArray[Any]]):
    """A batch of :class:`~masklam_envs.env.MaskEnv` stepped together, on a few threads of one process.

    Observations, rewards, terminations and infos are those of single environments with the same seeds and actions, byte
    for byte, in the layout of Gymnasium's ``SyncVectorEnv``.  MuJoCo and the ray caster run for several environments at
    a time without Python's lock; rewards and infos are the base environments' own.

    Gymnasium's own environments are all seen through one view, made of the first one's model, which they do not change.

    :param num_envs: how many, at least 1
    :param max_episode_steps: time limit of an episode, at least 1; None or -1 for none
    :param autoreset_mode: Gymnasium's, or its value: ``"NextStep"``, ``"SameStep"`` or ``"Disabled"``
    :param copy: fresh arrays at every step; False: every step writes to the same observation arrays
    :param threads: how many work at once, at least 1; None: as many as there are usable cores.  Never more than one for
        four environments, rounded up
    :param kwargs: keyword arguments of :class:`~masklam_envs.env.MaskEnv`; ``base`` must be an id
    :raises ValueError: for a number out of range or an unknown mode
    :raises TypeError: when ``base`` is an environment: there are ``num_envs`` to make

    >>> envs = gym.make_vec("MaskCheetah-v0", num_envs=4, distractor="action")
    >>> observations, infos = envs.reset(seed=0)
    >>> observations["pixels"].shape, observations["mask"].shape
    ((4, 64, 64, 3), (4, 64, 64, 1))
    >>> envs.metadata["autoreset_mode"]
    <AutoresetMode.NEXT_STEP: 'NextStep'>
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        max_episode_steps: int | None = None,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        copy: bool = True,
        threads: int | None = None,
        **kwargs: Any,
    ) -> None:
        _check_arguments(num_envs, max_episode_steps, threads, kwargs)
        self._arguments = {
            "num_envs": num_envs,
            "max_episode_steps": max_episode_steps,
            "autoreset_mode": autoreset_mode,
            "copy": copy,
            "threads": threads,
            **kwargs,
        }
        self.num_envs = num_envs
        self.autoreset_mode = _checked_mode(autoreset_mode)
        self.copy = copy
        first = MaskEnv(**kwargs)
        # Another environment may change its model, and has to be seen through a view of its own.
        self._one_view = is_plain(first.base)
        self.envs = [first, *(first.sibling() if self._one_view else MaskEnv(**kwargs) for _ in range(num_envs - 1))]
        self.metadata = {**first.metadata, "autoreset_mode": self.autoreset_mode}
        self.render_mode = first.render_mode
        self.single_action_space = first.action_space
        self.single_observation_space = first.observation_space
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._keys = first.keys
        self._limit = np.inf if max_episode_steps in (None, -1) else max_episode_steps
        self._track = BatchTrack(first.view.distractor, num_envs)
        self._threads = Threads(min(threads or usable_cores(), -(-num_envs // 4)))
        self._physics = make_physics([env.base for env in self.envs], self._threads.count)
        self._painters: list[RaycastBatch | None] = [None] * self._threads.count
        self._distractor = first.view.distractor
        self._has_faults = bool(first.view.faults) or first.view.mask_source is not None
        self._states: list[Any] = [None] * num_envs
        # Pixels and mask are always drawn; the observation has those that are asked for.
        size = first.view.config.image_size
        drawn = {key: channels for key, channels in _CHANNELS.items() if key != "clean" or key in first.keys}
        self._images = {key: np.zeros((num_envs, size, size, c), np.uint8) for key, c in drawn.items()}
        self._observations: dict[str, Any] = {key: self._images.get(key) for key in self._keys}
        if "state" in self._keys:
            self._observations["state"] = create_empty_array(first.base.observation_space, num_envs, np.zeros)
        self._elapsed = np.zeros(num_envs, np.int64)
        self._begun = np.zeros(num_envs, np.bool_)
        self._done = np.zeros(num_envs, np.bool_)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start episodes.

        :param seed: environment i gets ``seed + i``, or the i-th of a sequence; None goes on from earlier seeds
        :param options: those of :meth:`MaskEnv.reset`, and ``"reset_mask"``, (num_envs,) bool: the environments that
            are reset; the others stay as they are
        :raises ValueError: a sequence or mask of another length, or a mask that names no environment
        :raises TypeError: a mask that is no boolean array
        """
        super().reset(seed=None)
        options = dict(options or {})
        mask = _checked_mask(options.pop("reset_mask", None), self.num_envs)
        seeds = _seeds(seed, self.num_envs)
        infos: list[dict[str, Any] | None] = [None] * self.num_envs
        which = np.flatnonzero(mask)
        for i in which.tolist():
            infos[i] = self._begin(i, seeds[i], options)
        self._draw_all(which)
        return self._observed(), merged([], np.zeros(self.num_envs, np.bool_), infos)

    def step(
        self, actions: NDArray[np.float32]
    ) -> tuple[dict[str, Any], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """One step of every environment.

        :param actions: (num_envs, A), clipped to the bounds
        :return: observations, rewards (num_envs,) float64, terminations and truncations (num_envs,) bool, infos
        :raises ValueError: actions of another shape, or not finite
        :raises gymnasium.error.ResetNeeded: before the first reset, or after an episode's end without autoreset
        """
        acted = checked_actions(actions, self.action_space)
        moves = self._moving()
        started: list[dict[str, Any] | None] = [None] * self.num_envs
        for i in np.flatnonzero(~moves).tolist():
            started[i] = self._begin(i, None, {})
        self._physics.read()
        self._move_tracks(np.flatnonzero(moves), acted)
        outcomes = self._advance(moves, acted)
        self._elapsed += moves
        rewards, terminations = np.where(moves, outcomes.rewards, 0.0), outcomes.terminated & moves
        truncations = (outcomes.truncated & moves) | (self._elapsed >= self._limit)
        ended = self._done = terminations | truncations
        finals: dict[str, Any] = {}
        if self.autoreset_mode == AutoresetMode.SAME_STEP and ended.any():
            finals, moves = self._restarted(ended, outcomes, started), moves & ~ended
        infos = merged(outcomes.infos, moves, started)
        return self._observed(), rewards, terminations, truncations, {**infos, **finals}

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """The last step's pixels of every environment, (S, S, 3) uint8 each; None without a render mode."""
        if self.render_mode is None:
            return None
        self._check_begun()
        return tuple(self._images["pixels"].copy())

    def close_extras(self, **kwargs: Any) -> None:
        """End the threads and close the base environments."""
        self._threads.close()
        for env in self.envs:
            env.close()

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Each environment's attribute of that name, called with the arguments where it is a method.

        :raises ValueError: for what would leave the batch, such as ``step``
        :raises AttributeError: for ``track``, which the batch has in a form of its own
        """
        if name in OF_THE_BATCH:
            raise ValueError(f"{name!r} of one environment would leave the batch; call it on the vector environment")
        if name == "render":  # the batch draws for all of them
            return self.render() or (None,) * self.num_envs
        found = self.get_attr(name)
        return tuple(entry(*args, **kwargs) if callable(entry) else entry for entry in found)

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """Each environment's attribute of that name.

        :raises AttributeError: for ``track``, which the batch has in a form of its own
        """
        if name == "track":
            raise AttributeError("environments of a batch have no track of their own; a single one's tells its rows")
        return tuple(getattr(env, name) for env in self.envs)

    def set_attr(self, name: str, values: Any) -> None:
        """Set an attribute of every environment.

        :param name: the attribute
        :param values: a list or tuple with one value for each environment, or one value for all
        :raises ValueError: when there are more or fewer values than environments
        """
        values = list(values) if isinstance(values, (list, tuple)) else [values] * self.num_envs
        if len(values) != self.num_envs:
            raise ValueError(f"{name!r} needs one value for each of {self.num_envs} environments, got {len(values)}")
        for env, value in zip(self.envs, values, strict=True):
            setattr(env, name, value)

    @property
    def np_random_seed(self) -> tuple[int | None, ...]:  # type: ignore[override]
        """The seeds of the environments' generators."""
        return self.get_attr("np_random_seed")

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """The environments' generators."""
        return self.get_attr("np_random")

    def __reduce__(self) -> tuple[Any, ...]:
        # As single environments: a copy is a new one that needs a reset.
        return _remade, (self._arguments,), {"spec": self.spec}

    # ------------------------------------------------------------------------------------------------ parts of a step

    def _moving(self) -> NDArray[np.bool_]:
        """Which environments step; the others start an episode instead."""
        self._check_begun()
        if self.autoreset_mode == AutoresetMode.DISABLED and self._done.any():
            raise gym.error.ResetNeeded(
                f"the episodes of environments {np.flatnonzero(self._done).tolist()} have ended; reset them with "
                "options={'reset_mask': terminations | truncations}"
            )
        return ~self._done

    def _check_begun(self) -> None:
        if not self._begun.all():
            raise gym.error.ResetNeeded("the environments need an episode: call reset() first")

    def _begin(self, i: int, seed: int | None, options: dict[str, Any]) -> dict[str, Any]:
        """Start an episode of one environment, without drawing it: its info."""
        env = self.envs[i]
        self._states[i], info = env.begin(seed=seed, options=options)
        self._track.start(i, env.track)
        self._elapsed[i], self._done[i], self._begun[i] = 0, False, True
        return info

    def _move_tracks(self, which: NDArray[np.int64], actions: NDArray[np.float32]) -> None:
        if len(which):
            states = np.concatenate((self._physics.qpos, self._physics.qvel), axis=1, dtype=np.float32)
            self._track.step(which, actions[which], states[which])

    def _advance(self, moves: NDArray[np.bool_], actions: NDArray[np.float32]) -> Outcomes:
        """Step and draw all; a thread draws the chunk that it has stepped while another one steps."""
        indices = np.arange(self.num_envs)
        plates = self._plates_of(indices)

        def work(worker: int, first: int, last: int) -> None:
            self._physics.run(worker, first, last)
            if self._draws_in_threads:
                self._draw_together(worker, indices[first:last], plates)

        self._physics.begin(moves, actions)
        self._threads.run(work, self.num_envs)
        if not self._draws_in_threads:
            self._draw_one_by_one(indices)
        outcomes = self._physics.end()
        if "state" in self._keys:
            for i in np.flatnonzero(moves).tolist():
                self._states[i] = outcomes.states[i]
        return outcomes

    def _draw_all(self, which: NDArray[np.int64]) -> None:
        """Draw these environments after resets."""
        self._physics.read()
        if not self._draws_in_threads:
            self._draw_one_by_one(which)
            return
        plates = self._plates_of(which)
        self._threads.run(
            lambda worker, first, last: self._draw_together(worker, which[first:last], plates), len(which)
        )

    @functools.cached_property
    def _draws_in_threads(self) -> bool:
        """Whether each thread draws, with a painter of its own; else the caller's does, frame by frame."""
        from masklam_envs.rendering.batch import can_draw_together

        return self._one_view and can_draw_together(self.envs[0].view.renderer)

    @functools.cached_property
    def _plates(self) -> Plates:
        from masklam_envs.rendering.batch import Plates

        return Plates(self.num_envs, self.envs[0].view.config.image_size, self._distractor.ground_alpha)

    def _plates_of(self, which: NDArray[np.int64]) -> Plates | None:
        """The plates of all, those of ``which`` brought up to date; None where there is more to these than a plate."""
        backdrops = self._distractor.backdrops(self._track.rows[which]) if self._draws_in_threads else None
        return self._plates if backdrops is not None and self._plates.put(which, backdrops) else None

    def _draw_together(self, worker: int, which: NDArray[np.int64], plates: Plates | None) -> None:
        """Draw these environments in a thread."""
        painter, images, qpos = self._painter(worker), self._images, self._physics.qpos
        if plates is not None:
            painter.draw_plates(which, qpos, plates, images["pixels"], images["mask"])
        else:
            looks = [self._distractor.look(*pair) for pair in zip(self._track.rows[which], qpos[which], strict=True)]
            painter.draw(which, qpos, looks, images["pixels"], images["mask"])
        if "clean" in images:
            painter.draw(which, qpos, [CLEAN] * len(which), images["clean"], np.empty_like(images["mask"]))
        self._spoil(which)

    def _draw_one_by_one(self, which: NDArray[np.int64]) -> None:
        """Draw these environments, each through its own view."""
        images = self._images
        for i in which.tolist():
            view, qpos = self.envs[i].view, self.envs[i].physics.data.qpos
            images["pixels"][i], images["mask"][i] = view.frame(qpos, self._track.rows[i])
            if "clean" in images:
                images["clean"][i] = view.clean(qpos)
        self._spoil(which)

    def _spoil(self, which: NDArray[np.int64]) -> None:
        """What is wrong with the masks of these environments, where that was asked for."""
        if self._has_faults:
            images = self._images
            for i in which.tolist():
                pair = images["pixels"][i].copy(), images["mask"][i].copy()
                images["pixels"][i], images["mask"][i] = self.envs[i].with_faults(self._track.rows[i], *pair)

    def _painter(self, worker: int) -> RaycastBatch:
        """The painter of a thread, made at first use."""
        painter = self._painters[worker]
        if painter is None:
            from masklam_envs.rendering.batch import RaycastBatch

            renderer: Any = self.envs[0].view.new_renderer()  # a ray caster, where they can be drawn together
            painter = self._painters[worker] = RaycastBatch(renderer)
        return painter

    def _restarted(
        self, ended: NDArray[np.bool_], outcomes: Outcomes, started: list[dict[str, Any] | None]
    ) -> dict[str, Any]:
        """Start new episodes where one has ended, within the step: ``final_obs`` and ``final_info``."""
        self._done, which = np.zeros_like(ended), np.flatnonzero(ended)
        last = np.full(self.num_envs, None, object)
        for i in which.tolist():
            last[i] = self._observation(i)
            started[i] = self._begin(i, None, {})
        self._draw_all(which)
        final_info = merged(outcomes.infos, ended, [])
        return {"final_obs": last, "_final_obs": ended, "final_info": final_info, "_final_info": ended.copy()}

    def _observation(self, i: int) -> dict[str, Any]:
        """The observation of one environment, a copy."""
        arrays = {key: self._observations[key][i].copy() for key in self._observations if key != "state"}
        return {key: arrays[key] if key in arrays else copy.deepcopy(self._states[i]) for key in self._keys}

    def _observed(self) -> dict[str, Any]:
        observations = self._observations
        if "state" in observations:
            space = self.envs[0].base.observation_space
            observations["state"] = concatenate(space, self._states, observations["state"])
        return copy.deepcopy(observations) if self.copy else observations


def checked_actions(actions: Any, space: gym.spaces.Space[Any]) -> NDArray[np.float32]:
    """The actions of a batch as float32 of the space's shape, within its bounds.

    :raises ValueError: when the shape differs or a number is not finite
    """
    actions = np.asarray(actions, np.float32)
    if actions.shape != space.shape:
        raise ValueError(f"actions must have shape {space.shape}, got {actions.shape}")
    if not np.isfinite(actions).all():
        wrong = np.flatnonzero(~np.isfinite(actions).all(axis=1)).tolist()
        raise ValueError(f"actions must be finite, not so in environments {wrong}; check the policy that made them")
    return within_bounds(actions, space)


def _check_arguments(num_envs: int, limit: int | None, threads: int | None, kwargs: dict[str, Any]) -> None:
    if num_envs < 1 or (threads is not None and threads < 1):
        raise ValueError(f"num_envs and threads must be at least 1, got {num_envs} and {threads}")
    if limit is not None and limit != -1 and limit < 1:
        raise ValueError(f"max_episode_steps must be at least 1, or None for no limit, got {limit}")
    if not isinstance(kwargs.get("base", ""), str):
        raise TypeError(
            f"base must be the id of an environment, of which {num_envs} are made, got {kwargs['base']!r}; "
            "for environments of your own use gymnasium.vector.SyncVectorEnv"
        )


def _checked_mode(mode: str | AutoresetMode) -> AutoresetMode:
    known = [entry.value for entry in AutoresetMode]
    if isinstance(mode, str) and mode not in known:
        raise ValueError(unknown_name("autoreset_mode", mode, known))
    return AutoresetMode(mode)


def _checked_mask(mask: Any, count: int) -> NDArray[np.bool_]:
    """The environments that a reset is for."""
    if mask is None:
        return np.ones(count, np.bool_)
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
        raise TypeError(f"options['reset_mask'] must be a boolean numpy array, got {mask!r}")
    if mask.shape != (count,) or not mask.any():
        raise ValueError(f"options['reset_mask'] must be ({count},) with at least one True, got {mask!r}")
    return mask


def _seeds(seed: int | Sequence[int | None] | None, count: int) -> list[int | None]:
    if seed is None:
        return [None] * count
    if isinstance(seed, (int, np.integer)):
        return [int(seed) + i for i in range(count)]
    if len(seed) != count:
        raise ValueError(f"seed must be one number, or one for each of {count} environments, got {len(seed)}")
    return list(seed)


def _remade(arguments: dict[str, Any]) -> MaskVectorEnv:
    return MaskVectorEnv(**arguments)
