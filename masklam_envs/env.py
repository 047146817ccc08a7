"""The pixel-and-mask environment: any MuJoCo Gymnasium environment seen under a distractor, with the agent's mask."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import math
from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.utils import RecordConstructorArgs
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker
from numpy.typing import NDArray

from masklam_envs.arguments import unknown_argument
from masklam_envs.distractors import LiveTrack
from masklam_envs.errors import unknown_name
from masklam_envs.masks import EpisodeFaults
from masklam_envs.quiet import quiet_mujoco
from masklam_envs.reference import action_reference, ground_alpha_of, velocity_reference
from masklam_envs.registration import ANY_ID
from masklam_envs.rendering.camera import CameraConfig
from masklam_envs.unmoved import warn_of_mocap
from masklam_envs.view import View, ViewConfig

KEYS = ("pixels", "mask", "state", "clean")


class MaskEnv(gym.Env[dict[str, Any], NDArray[np.float32]], RecordConstructorArgs):
    """A MuJoCo environment whose observation is a frame under a distractor and the agent's mask.

    Physics and rewards are the base environment's, untouched: the distractor draws from its own random stream, made
    from the reset seed.  Actions are cut to the bounds of the action space before the base sees them, so a reward has
    the control cost of what was applied.

    ## Observation

    | key | space | what |
    | --- | --- | --- |
    | ``pixels`` | ``Box(0, 255, (S, S, 3), uint8)`` | RGB frame under the distractor |
    | ``mask`` | ``Box(0, 255, (S, S, 1), uint8)`` | 255 where the agent (or ``mask_target``) is seen, else 0 |
    | ``clean`` | ``Box(0, 255, (S, S, 3), uint8)`` | the same step without distractor |
    | ``state`` | the base environment's space | the base environment's observation |

    The reference of a registered id (the state number by number, actions with bounds and units, rewards, starting
    state, episode end, camera, bodies in the mask, arguments, version history) ends the docstring of an environment
    made by it: ``print(gym.make("MaskAnt-v0").unwrapped.__doc__)``.  It is also what ``masklam envs ID`` prints, and
    ``docs/environments.md``.

    A fresh array at every step.  A copy, by pickle or ``copy.deepcopy``, is a new environment that needs a reset.

    :param base: Gymnasium id, e.g. ``"HalfCheetah-v5"``, or an environment whose ``unwrapped`` has MuJoCo's ``model``
        and ``data``
    :param distractor: a preset's name, ``{"name": ..., option: value}``, or a list of these to compose
    :param correlation: in [0, 1], how much of the background's motion the action decides (``action``) or the joint
        velocities (``state``), as a multiple correlation; None: the distractor's own, 0.9
    :param mask_source: ``"simulator"``, ``"student"``, ``{"name": "rembg", "model": "u2netp"}`` or another source that
        looks back only, see ``docs/masks.md``: the mask is what it finds in the pixels
    :param mask_target: what the mask shows: ``"agent"``, ``"object"`` (what the agent handles: Pusher's puck and goal,
        Reacher's target) or ``"foreground"``, which is both
    :param agent_bodies: names of the agent's bodies, each with all bodies below it; None: every tree of bodies that an
        actuator drives
    :param object_bodies: names of the objects' bodies, likewise; None: every other tree that can move
    :param mask_faults: e.g. ``{"name": "erosion", "radius": 1}``, or a list, applied to the observed mask; see
        ``docs/masks.md``
    :param observation: keys of the observation, each once and at least one: ``pixels``, ``mask``, ``clean``, ``state``
    :param image_size: side of the frames, pixels: a whole number in [16, 1024]
    :param camera: name or index of a camera of the model, or a description such as ``{"lookat": [0, 0, 0],
        "distance": 3, "azimuth": 90, "elevation": -20, "track": "torso"}``: metres and degrees, a distance above 0
        (:mod:`masklam_envs.rendering.camera`); None: ``track`` if there is one, else the first, else MuJoCo's free one
    :param zoom: in [0.1, 20], divides the tangent of half the field of view: with 2 things are seen twice as large
    :param camera_offset: two finite numbers: metres by which the camera is moved to its own right and upwards
    :param renderer: ``"raycast"``, ``"opengl"``, or ``"auto"``: OpenGL where something visible is no primitive geom
    :param split: ``"train"`` or ``"test"`` backgrounds; ``"fit"`` and ``"validation"`` are parts of the training ones
    :param base_kwargs: keyword arguments of the base environment, when it is given by id
    :param render_mode: None or ``"rgb_array"``: ``render()`` returns the last step's pixels
    :raises ValueError: for an unknown name, key, camera or body, a number out of range, or a mask of an object where
        there is none
    :raises TypeError: when the base environment is no MuJoCo environment or masked already, for actions that are no
        bounded vector, or for a keyword argument that is not known
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}

    def __init__(
        self,
        base: str | gym.Env[Any, Any],
        *,
        distractor: Any = "action",
        correlation: float | None = None,
        mask_source: Any = "simulator",
        mask_target: str = "agent",
        agent_bodies: Sequence[str] | None = None,
        object_bodies: Sequence[str] | None = None,
        mask_faults: Any = None,
        observation: Sequence[str] = ("pixels", "mask"),
        image_size: int = 64,
        camera: CameraConfig = None,
        zoom: float = 1.0,
        camera_offset: tuple[float, float] = (0.0, 0.0),
        renderer: str = "auto",
        split: str = "train",
        base_kwargs: dict[str, Any] | None = None,
        render_mode: str | None = None,
        **unknown: Any,
    ) -> None:
        _refuse(unknown, base)
        self.keys = _checked_keys(observation)
        if render_mode not in (None, "rgb_array"):
            raise ValueError(unknown_name("render_mode", render_mode, ("rgb_array",)))
        config = ViewConfig(
            distractor=distractor,
            correlation=correlation,
            split=split,
            image_size=image_size,
            camera=camera,
            zoom=zoom,
            camera_offset=camera_offset,
            renderer=renderer,
            mask_source=mask_source,
            mask_target=mask_target,
            agent_bodies=agent_bodies,
            object_bodies=object_bodies,
            mask_faults=mask_faults,
        )
        self._arguments = {
            "base": base,
            "observation": list(self.keys),
            "base_kwargs": base_kwargs,
            "render_mode": render_mode,
            **config.to_json(),
        }
        if isinstance(base, str):
            RecordConstructorArgs.__init__(self, **self._arguments)
        self.base_kwargs = dict(base_kwargs or {})
        self._take_base(_make_base(base, base_kwargs))
        warn_of_mocap(self._physics.model)
        self.view = View(
            self._physics.model,
            config,
            action_reference(self.base),
            ground_alpha=ground_alpha_of(self.base),
            velocities=velocity_reference(self.base),
        )
        self.render_mode = render_mode
        self.metadata = {**self.metadata, "render_fps": self.base.metadata.get("render_fps", 20)}
        self.observation_space = self._make_space(config.image_size)

    def sibling(self) -> MaskEnv:
        """Another environment of the same kind, seen through the same view."""
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        other._np_random = other._np_random_seed = None
        other._take_base(_make_base(self._arguments["base"], self.base_kwargs))
        return other

    def _take_base(self, base: gym.Env[Any, Any]) -> None:
        """Set what belongs to this environment alone."""
        self.base = base
        self._physics = physics_env(base)
        self.action_space = base.action_space
        self._seeds: np.random.SeedSequence | None = None
        self._track: LiveTrack | None = None
        self._faults: EpisodeFaults | None = None
        self._pixels: NDArray[np.uint8] | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode.

        :param seed: fixes physics and distractor; later resets without a seed go on from there
        :param options: ``{"distractor_seed": int}``, a number in [0, 2**63), sets this episode's distractor; other
            entries go to the base
        :return: observation, and the base's info with ``distractor_seed`` (int) added
        :raises ValueError: for another ``distractor_seed``; nothing has changed then
        """
        state, info = self.begin(seed=seed, options=options)
        return self._observe(state, self.track.row), info

    def begin(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As :meth:`reset`, but nothing is drawn: the base environment's observation, and the info."""
        options = dict(options or {})
        given = _checked_seed(options.pop("distractor_seed")) if "distractor_seed" in options else None
        super().reset(seed=seed)
        if seed is not None or self._seeds is None:
            self._seeds = np.random.SeedSequence(seed)
        own = next_distractor_seed(self._seeds)
        distractor_seed = own if given is None else given
        state, info = self.base.reset(seed=seed, options=options or None)
        self._faults = self.view.episode_faults(distractor_seed)
        self._track = self.view.distractor.live(distractor_seed)
        return state, {**info, "distractor_seed": distractor_seed}

    def step(self, action: NDArray[np.float32]) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """One step of the base environment; the distractor moves with it.

        :param action: (A,), cut to the bounds of the action space before the base sees it
        :raises ValueError: when an action has another shape or is not finite
        :raises gymnasium.error.ResetNeeded: before the first reset, or after a recording by this environment
        """
        track = self.track
        action = checked_action(action, self.action_space)
        before = physics_state(self._physics)
        state, reward, terminated, truncated, info = self.base.step(action)
        row = track.step(action, before)
        return self._observe(state, row), float(reward), bool(terminated), bool(truncated), info

    def leave_episode(self) -> None:
        """End the episode, because somebody steps the base environment by itself: :meth:`step` needs a reset first."""
        self._track = self._faults = None

    def draw_clean(self) -> NDArray[np.uint8]:
        """The present state's pixels (S, S, 3) uint8 without distractor, a fresh array."""
        return self.view.clean(self._physics.data.qpos)

    def render(self) -> NDArray[np.uint8] | None:
        """The last step's pixels (S, S, 3) uint8, or None without ``render_mode="rgb_array"``."""
        if self.render_mode is None:
            return None
        if self._pixels is None:
            raise RuntimeError("render() needs a frame: call reset() first")
        return self._pixels.copy()

    def close(self) -> None:
        """Close the base environment."""
        self.base.close()

    @property
    def physics(self) -> Any:
        """The unwrapped base environment, which has MuJoCo's ``model`` and ``data``."""
        return self._physics

    @property
    def base_id(self) -> str | None:
        """The base environment's id, with its module where it was given so; None where it has none."""
        given = self._arguments["base"]
        if isinstance(given, str) and ":" in given:
            return given
        return self.base.spec.id if self.base.spec is not None else None

    @property
    def track(self) -> LiveTrack:
        """The distractor's track of this episode.

        :raises gymnasium.error.ResetNeeded: before the first reset
        """
        if self._track is None:
            raise gym.error.ResetNeeded("there is no episode yet: call reset() first")
        return self._track

    def with_faults(
        self, row: NDArray[np.float64], pixels: NDArray[np.uint8], mask: NDArray[np.uint8]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """What is observed of the episode's next frame, drawn under a distractor row; its true mask may be kept."""
        if self._faults is None:
            return pixels, mask
        needed, qpos = self._faults.needs_ghost, self._physics.data.qpos
        ghost = self.view.ghost_pixels(qpos, row, pixels, mask) if needed else None
        return self._faults.step(pixels, mask, ghost)

    def __reduce__(self) -> tuple[Any, ...]:
        # Gymnasium's MuJoCo environments copy as new ones that need a reset; half a copy would be worse.
        return _remade, (self._arguments,), {"spec": self.spec}

    def _observe(self, state: Any, row: NDArray[np.float64]) -> dict[str, Any]:
        qpos = self._physics.data.qpos
        pixels, mask = self.with_faults(row, *self.view.frame(qpos, row))
        # A copy: what the caller does to an observation is not what was seen.
        self._pixels = pixels if self.render_mode is None else pixels.copy()
        values = {"pixels": pixels, "mask": mask, "state": state}
        if "clean" in self.keys:
            values["clean"] = self.view.clean(qpos)
        return {key: values[key] for key in self.keys}

    def _make_space(self, size: int) -> spaces.Dict:
        image = spaces.Box(0, 255, (size, size, 3), np.uint8)
        known: dict[str, spaces.Space[Any]] = {
            "pixels": image,
            "clean": image,
            "mask": spaces.Box(0, 255, (size, size, 1), np.uint8),
            "state": self.base.observation_space,
        }
        return spaces.Dict({key: known[key] for key in self.keys})


class _Docstring:
    """The class's docstring; that of an environment made by a registered id ends with the id's tables."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __get__(self, env: MaskEnv | None, owner: type[MaskEnv]) -> str:
        from masklam_envs.documentation import describe, is_described

        if env is None or env.spec is None or not is_described(env.spec.id):
            return self._text
        return f"{inspect.cleandoc(self._text)}\n\n{describe(env.spec.id)}"


MaskEnv.__doc__ = _Docstring(MaskEnv.__doc__ or "")  # type: ignore[assignment]


def make_masked(env: str | gym.Env[Any, Any], **kwargs: Any) -> gym.Env[Any, Any]:
    """Any MuJoCo Gymnasium environment with distractor and mask; see :class:`MaskEnv` for the keyword arguments.

    :param env: a Gymnasium id, also ``"module:Id"``, whose time limit is kept unless ``max_episode_steps`` is another,
        or an environment, whose wrappers are kept
    :return: an environment; one made from an id has a ``spec`` that round-trips through JSON

    >>> env = make_masked("Hopper-v5", distractor="video", image_size=84)
    >>> env.observation_space["pixels"]
    Box(0, 255, (84, 84, 3), uint8)
    """
    if not isinstance(env, str):
        return MaskEnv(env, **kwargs)
    limit = spec_of(env).max_episode_steps
    return gym.make(ANY_ID, base=env, **{"max_episode_steps": limit if limit is not None else -1, **kwargs})


def make_by_id(env_id: str, **kwargs: Any) -> gym.Env[Any, Any]:
    """One of this package's environments by its id; any other MuJoCo environment's as by :func:`make_masked`.

    :param env_id: a Gymnasium id, also ``"module:Id"``
    :param kwargs: keyword arguments of :class:`MaskEnv`
    :raises TypeError: when the environment is no MuJoCo environment
    """
    return gym.make(env_id, **kwargs) if _is_masked(env_id) else make_masked(env_id, **kwargs)


def spec_of(env_id: str) -> EnvSpec:
    """What is registered under an id, ``"module:Id"`` too, which ``gymnasium.spec`` does not know."""
    module, _, name = env_id.rpartition(":")
    if module:
        importlib.import_module(module)
    return gym.spec(name)


def _is_masked(env_id: str) -> bool:
    """Whether an id is that of a :class:`MaskEnv`, or of nothing, which Gymnasium says best."""
    try:
        creator: Any = spec_of(env_id).entry_point
    except gym.error.Error:
        return True
    if isinstance(creator, str):
        creator = load_env_creator(creator)
    if isinstance(creator, type):
        return issubclass(creator, MaskEnv)
    with contextlib.closing(gym.make(env_id)) as made:  # a function tells by what it returns
        return isinstance(made.unwrapped, MaskEnv)


def next_distractor_seed(seeds: np.random.SeedSequence) -> int:
    """The next episode's distractor seed, below 2**63: a child of the reset seed's sequence."""
    return int(seeds.spawn(1)[0].generate_state(1, np.uint64)[0] >> np.uint64(1))


def _checked_seed(value: Any) -> int:
    if isinstance(value, Integral) and not isinstance(value, bool) and 0 <= int(value) < 2**63:
        return int(value)
    raise ValueError(f"options['distractor_seed'] must be a whole number in [0, 2**63), got {value!r}")


def physics_state(physics: Any) -> NDArray[np.float32]:
    """Positions and velocities (nq + nv,) float32 of a MuJoCo environment: what distractors may follow."""
    return np.concatenate((physics.data.qpos, physics.data.qvel), dtype=np.float32)


def checked_action(action: Any, space: spaces.Space[Any]) -> NDArray[np.float32]:
    """The action as float32 of the space's shape, within its bounds.

    :raises ValueError: when the shape differs or a number is not finite
    """
    action = np.asarray(action, np.float32)
    if action.shape != space.shape:
        raise ValueError(f"action must have shape {space.shape}, got {action.shape}")
    # One sum is cheaper than a test of every number, and is finite where they all are (unless they are huge).
    if not math.isfinite(np.add.reduce(action)) and not np.isfinite(action).all():
        raise ValueError(f"action must be finite, got {action.tolist()}; check the policy that made it")
    return within_bounds(action, space)


def within_bounds(actions: NDArray[np.float32], space: spaces.Space[Any]) -> NDArray[np.float32]:
    """The actions cut to the bounds of their space, by the last float32 within where a bound is none."""
    if not isinstance(space, spaces.Box):
        return actions
    low, high = space.low, space.high
    if low.dtype != np.float32:
        low, high = _float32_bounds(low, -np.inf), _float32_bounds(high, np.inf)
    return np.minimum(np.maximum(actions, low), high)


def _float32_bounds(bounds: NDArray[Any], outwards: float) -> NDArray[np.float32]:
    """Bounds as float32, those that were rounded outwards moved to the next number within."""
    rounded = bounds.astype(np.float32)
    outside = rounded > bounds if outwards > 0 else rounded < bounds
    return np.where(outside, np.nextafter(rounded, np.float32(-outwards)), rounded)


def _refuse(unknown: dict[str, Any], base: str | gym.Env[Any, Any]) -> None:
    """Say of the first keyword argument that nobody knows what may have been meant."""
    for name, value in unknown.items():
        parameters = inspect.signature(MaskEnv).parameters.values()
        known = [each.name for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY]
        maker = spec_of(base).entry_point if isinstance(base, str) else base
        raise TypeError(unknown_argument(name, value, known, maker))


def _remade(arguments: dict[str, Any]) -> MaskEnv:
    return MaskEnv(**arguments)


def _checked_keys(observation: Sequence[str]) -> tuple[str, ...]:
    if isinstance(observation, str):
        observation = (observation,)
    if not isinstance(observation, Iterable):
        raise ValueError(f"observation must be some of {', '.join(KEYS)}, got {observation!r}")
    keys = tuple(observation)
    for key in keys:
        if key not in KEYS:
            raise ValueError(unknown_name("observation key", key, KEYS))
    if not keys or len(set(keys)) < len(keys):
        raise ValueError(f"observation must name each of its keys once and at least one, got {keys}")
    return keys


def _make_base(base: str | gym.Env[Any, Any], base_kwargs: dict[str, Any] | None) -> gym.Env[Any, Any]:
    if not isinstance(base, str):
        if base_kwargs:
            raise ValueError("base_kwargs are for a base environment given by id; pass them where you make yours")
        return base
    with quiet_mujoco():
        # The time limit is a wrapper of the outer environment, whose spec names it.
        made = gym.make(base, disable_env_checker=True, max_episode_steps=-1, **(base_kwargs or {}))
    # What only checks calls costs time; any other wrapper that the id stands for is a part of it.
    while isinstance(made, OrderEnforcing | PassiveEnvChecker):
        made = made.env
    return made


def physics_env(base: gym.Env[Any, Any]) -> Any:
    """The unwrapped environment, which has MuJoCo's ``model`` and ``data``.

    :raises TypeError: when it has not, is masked already, or is no environment
    """
    if not isinstance(base, gym.Env):
        raise TypeError(f"give an environment or the id of one, such as 'HalfCheetah-v5', got {base!r}")
    physics: Any = base.unwrapped
    if isinstance(physics, MaskEnv):
        masked = physics.spec.id if physics.spec is not None else type(physics).__name__
        raise TypeError(
            f"{masked} is masked already: use it as it is, with its own arguments, or mask its base environment, "
            f"{physics.base_id or physics.base!r}"
        )
    if not (hasattr(physics, "model") and hasattr(physics, "data")):
        raise TypeError(
            f"{type(physics).__name__} is no MuJoCo environment (no `model` and `data`): "
            "give a Gymnasium MuJoCo id such as 'HalfCheetah-v5'"
        )
    return physics
