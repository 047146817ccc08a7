"""How a physics state and a distractor row become a frame: the one path of live environments and re-rendered data."""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from masklam_envs.distractors import ActionReference, Distractor, make_distractor
from masklam_envs.distractors.base import SPLITS
from masklam_envs.distractors.facts import GROUND_ALPHA, scene_facts
from masklam_envs.distractors.reference import Whitening
from masklam_envs.errors import unknown_name
from masklam_envs.masks import EpisodeFaults, MaskFault, Seen, make_faults, target_bodies
from masklam_envs.masks.sources import make_live_source, source_config
from masklam_envs.plain import plain
from masklam_envs.rendering.camera import CameraConfig, find_camera, moved_camera
from masklam_envs.rendering.orbit import axis_of

if TYPE_CHECKING:
    from masklam_envs.rendering.protocol import Renderer

RENDERERS = ("auto", "opengl", "raycast")
MIN_SIZE, MAX_SIZE = 16, 1024
# A vector environment's threads share a view, and a renderer serves one thread at a time.
_GHOSTS = threading.Lock()
#: rises whenever the bytes of a frame change; datasets and frame caches record it
DRAWING_VERSION = 2


@dataclasses.dataclass(frozen=True)
class ViewConfig:
    """What is seen, as JSON-able names and numbers.

    :param distractor: a name, ``{"name": ..., option: value}``, or a list of these, composed in order
    :param correlation: short cut for the option of that name, in [0, 1]
    :param split: ``"train"`` or ``"test"`` backgrounds, which share no clip, or those of a part of ``"train"``:
        ``"fit"`` or ``"validation"``
    :param image_size: side of the square frame, pixels: a whole number in [16, 1024]
    :param camera: name or index of a camera of the model, or a description by lookat, distance, azimuth, elevation
        and tracked body (see :mod:`masklam_envs.rendering.camera`); None: ``track`` if there is one, else the first,
        else MuJoCo's free camera
    :param zoom: in [0.1, 20], divides the tangent of half the camera's field of view
    :param camera_offset: metres by which the camera is moved to its own right and upwards, without turning it
    :param renderer: ``"raycast"``, ``"opengl"``, or ``"auto"``: OpenGL where something visible is no primitive geom
    :param mask_source: ``"simulator"``, or a name or ``{"name": ..., option: value}`` of
        :mod:`masklam_envs.masks.sources`, of a source that looks back only: the mask is what it finds in the pixels
    :param mask_target: what the mask shows: ``"agent"``, ``"object"`` or ``"foreground"``, which is both
    :param agent_bodies: names of the agent's bodies, each with all bodies below it; None: every tree of bodies that an
        actuator drives
    :param object_bodies: names of the objects' bodies, likewise; None: every other tree that can move
    :param mask_faults: names or ``{"name": ..., option: value}`` of :mod:`masklam_envs.masks.faults`, applied in order
    """

    distractor: Any = "action"
    correlation: float | None = None
    split: str = "train"
    image_size: int = 64
    camera: CameraConfig = None
    zoom: float = 1.0
    camera_offset: tuple[float, float] = (0.0, 0.0)
    renderer: str = "auto"
    mask_source: Any = "simulator"
    mask_target: str = "agent"
    agent_bodies: Sequence[str] | None = None
    object_bodies: Sequence[str] | None = None
    mask_faults: Any = None

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, plain(getattr(self, field.name)))
        _check_choice("renderer", self.renderer, RENDERERS)
        source_config(self.mask_source)
        _check_choice("split", self.split, SPLITS)
        size = self.image_size
        if isinstance(size, bool) or not isinstance(size, int) or not MIN_SIZE <= size <= MAX_SIZE:
            raise ValueError(f"image_size must be an integer in [{MIN_SIZE}, {MAX_SIZE}] pixels, got {size!r}")
        if not (isinstance(self.zoom, (int, float)) and 0.1 <= self.zoom <= 20):
            raise ValueError(f"zoom must be a number in [0.1, 20], got {self.zoom!r}")
        offset = self.camera_offset
        numbers = isinstance(offset, list) and all(isinstance(x, (int, float)) for x in offset)
        if not numbers or len(offset) != 2 or not np.isfinite(offset).all():
            raise ValueError(f"camera_offset must be two finite numbers, metres right and up, got {offset!r}")
        object.__setattr__(self, "camera_offset", (float(offset[0]), float(offset[1])))
        for name in ("agent_bodies", "object_bodies"):
            object.__setattr__(self, name, _checked_names(name, getattr(self, name)))

    def to_json(self) -> dict[str, Any]:
        """The same as a plain dictionary: ``ViewConfig(**config.to_json()) == config``."""
        return dataclasses.asdict(self)


class View:
    """Renderer, distractor and mask of one model.

    :param model: the physics model
    :param config: what is seen
    :param reference: statistics by which actions are whitened before they move a distractor
    :param ground_alpha: how opaque the ground is over a background in the Distracting Control Suite
    :param velocities: finds the statistics of joint velocities heard of so many steps late, for distractors that
        follow them
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        config: ViewConfig,
        reference: ActionReference,
        *,
        ground_alpha: float = GROUND_ALPHA,
        velocities: Callable[[int], Whitening] | None = None,
    ) -> None:
        self.model = model
        self.config = config
        self.reference = reference
        self._about: dict[str, Any] = {"ground_alpha": ground_alpha, "velocities": velocities}
        agent = target_bodies(model, "agent", config.agent_bodies, config.object_bodies)
        # An unknown camera is an error here, not at the first frame.
        towards = axis_of(*moved_camera(model, find_camera(model, config.camera), config.camera_offset))
        #: what the distractor may know of the model
        self.facts = scene_facts(model, towards, agent, ground_alpha, velocities)
        #: indices of the bodies that the mask shows
        self.mask_bodies = target_bodies(model, config.mask_target, config.agent_bodies, config.object_bodies)
        self.faults: list[MaskFault] = make_faults(config.mask_faults)
        #: what finds the masks in the pixels, None where they are the simulator's
        self.mask_source = make_live_source(config.mask_source)
        self.distractor: Distractor = make_distractor(
            config.distractor,
            split=config.split,
            correlation=config.correlation,
            action_reference=reference,
            image_size=config.image_size,
            scene=self.facts,
        )

    def again(self, *, reference: ActionReference | None = None, **changes: Any) -> View:
        """A view of its own of the same model; ``changes`` replace fields of the configuration."""
        return View(self.model, dataclasses.replace(self.config, **changes), reference or self.reference, **self._about)

    @property
    def masks_name(self) -> str:
        """What its masks are called in data: ``"simulator"``, a mask source's name, or ``"faulty"``."""
        return "faulty" if self.faults else str(source_config(self.config.mask_source)["name"])

    @functools.cached_property
    def joints(self) -> list[str]:
        """Names of the model's joints, in the order of ``qpos``; nameless ones are their numbers."""
        return [self.model.joint(i).name or str(i) for i in range(self.model.njnt)]

    @functools.cached_property
    def renderer(self) -> Renderer:
        """The renderer, made at first use: Numba is imported only then."""
        return self.new_renderer()

    def new_renderer(self) -> Renderer:
        """A renderer of its own for the same view: a renderer serves one thread at a time."""
        from masklam_envs.rendering import OpenGLRenderer, RaycastRenderer
        from masklam_envs.rendering.scene import can_be_cast

        config = self.config
        ghost = target_bodies(self.model, "agent", config.agent_bodies, config.object_bodies)
        cast = config.renderer == "raycast" or (config.renderer == "auto" and can_be_cast(self.model))
        return (RaycastRenderer if cast else OpenGLRenderer)(
            self.model, config.image_size, config.camera, config.zoom, self.mask_bodies, config.camera_offset, ghost
        )

    def frame(self, qpos: NDArray[np.float64], row: NDArray[np.float64]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Pixels (H, W, 3) and true mask (H, W, 1), uint8, of positions (nq,) under a distractor row (D,).

        What is observed is this with the mask source's mask and the episode's faults, see :meth:`episode_faults`.
        """
        pixels, mask = self.renderer.draw(qpos, self.distractor.look(row, qpos))
        return pixels, mask

    def ghost_pixels(
        self, qpos: NDArray[np.float64], row: NDArray[np.float64], pixels: NDArray[np.uint8], mask: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        """Where ghosts are seen: (H, W, 1) uint8, 255 in the pixels that they change and that are not in the mask.

        :param pixels: of the same frame, from :meth:`frame`
        :param mask: likewise
        :raises ValueError: when there is no ghost
        """
        look = self.distractor.look(row, qpos)
        if not look.ghosts:
            raise ValueError("the mask fault 'ghost' needs a distractor with a ghost, for example distractor='ghost'")
        with _GHOSTS:
            without = self.renderer.draw(qpos, dataclasses.replace(look, ghosts=()))[0]
        changed = (without != pixels).any(axis=-1, keepdims=True)
        return np.where(changed & (mask == 0), np.uint8(255), np.uint8(0))

    def episode_faults(
        self, seed: int, *, length: int | None = None, draw: Callable[[int], Seen] | None = None
    ) -> EpisodeFaults:
        """Where an episode's masks come from, and what is wrong with them.

        :param seed: of the episode's distractor
        :param length: frames of the episode, None while it runs
        :param draw: draws the true masks of a frame, None while the episode runs
        """
        return EpisodeFaults(self.faults, seed, length=length, draw=draw, source=self.mask_source)

    def clean(self, qpos: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Pixels (H, W, 3) of the same positions without distractor."""
        return self.renderer.draw(qpos)[0]


def _check_choice(kind: str, given: str, known: tuple[str, ...]) -> None:
    if given not in known:
        raise ValueError(unknown_name(kind, given, known))


def _checked_names(name: str, given: Any) -> tuple[str, ...] | None:
    if given is None:
        return None
    names = (given,) if isinstance(given, str) else given
    if not isinstance(names, (tuple, list)) or not all(isinstance(body, str) for body in names):
        raise ValueError(f"{name} must be names of bodies, got {given!r}")
    return tuple(names)
