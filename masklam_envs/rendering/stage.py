"""MuJoCo's scene and the passes that the OpenGL renderer draws of it."""

from __future__ import annotations

from typing import NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from masklam_envs.rendering.changes import VERTICAL, about, turned
from masklam_envs.rendering.drawn import GROUND, TRANSLUCENT, Drawn, paint
from masklam_envs.rendering.gl import Context
from masklam_envs.rendering.look import LightChange

Groups = tuple[int, ...]

# Everything that costs time or blurs what is seen through haze; the sky is turned on by the pass that shows it.
OFF = ("SHADOW", "REFLECTION", "SKYBOX", "FOG", "HAZE")
CATEGORIES = mujoco.mjtCatBit.mjCAT_STATIC | mujoco.mjtCatBit.mjCAT_DYNAMIC
SPARE_GEOMS = 16


class Picture(NamedTuple):
    """One pass as OpenGL has it, the lowest row first.

    Attributes:
        rgb: (S, S, 3) uint8.
        depth: (S, S) float32, 0 where nothing is, 1 at the near plane.
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]


NOTHING = Picture(np.zeros((0, 0, 3), np.uint8), np.zeros((0, 0), np.float32))


class Stage:
    """The scene of one model with camera and lamps, drawn group by group.

    Args:
        drawn: what is drawn.
        side: height and width of the pictures.
        half_height: tangent of half the field of view.
    """

    def __init__(self, drawn: Drawn, side: int, half_height: float) -> None:
        self.side = side
        self._drawn, self._model = drawn, drawn.model
        self._colours = drawn.model.geom_rgba[:, :3].copy()
        self._painted = False
        model, vis = drawn.model, drawn.model.vis.map
        #: metres to the near and the far plane
        self.range = (float(np.float32(vis.znear * model.stat.extent)), float(np.float32(vis.zfar * model.stat.extent)))
        self._scene = mujoco.MjvScene(model, model.ngeom + model.nflex + model.nskin + SPARE_GEOMS)
        self._flags = self._scene.flags
        for name in OFF:
            self._flags[getattr(mujoco.mjtRndFlag, f"mjRND_{name}")] = False
        self._view = mujoco.MjvCamera()
        self._view.type = mujoco.mjtCamera.mjCAMERA_USER  # the scene's camera is set here, not by MuJoCo
        for camera in self._scene.camera:
            camera.frustum_near, camera.frustum_far = self.range
            camera.frustum_top, camera.frustum_bottom = half_height * self.range[0], -half_height * self.range[0]
        #: position (3,) and matrix (9,) of the camera
        self.camera = (np.zeros(3), np.eye(3).ravel())
        self._light: LightChange | None = None
        self._focus = np.zeros(3)
        self._options: dict[Groups, mujoco.MjvOption] = {}
        self._segments: dict[Groups, tuple[NDArray[np.float64], NDArray[np.int32]]] = {}
        self._pictures: dict[tuple[str, int], Picture] = {}
        self._upload: mujoco.MjrContext | None = None

    def enter(self, context: Context) -> None:
        """Draw in this context, current now, from here on."""
        self._upload = context.upload(self._drawn.key, self._model, self)

    def paint(self, colours: NDArray[np.float64] | None) -> None:
        """Give the geoms other colours (ngeom, 3), or their own again."""
        if colours is not None or self._painted:
            paint(self._model, self._colours if colours is None else colours)
        self._painted = colours is not None

    def set_camera(self, position: NDArray[np.float64], matrix: NDArray[np.float64]) -> None:
        """Put the camera at ``position`` (3,) with ``matrix`` (9,), as ``MjData.cam_xmat``."""
        self.camera = position.copy(), matrix.copy()
        for camera in self._scene.camera:
            camera.pos, camera.forward, camera.up = position, -matrix[2::3], matrix[1::3]

    def set_light(self, change: LightChange | None, focus: NDArray[np.float64]) -> None:
        """Change the lamps, round the point ``focus`` (3,)."""
        self._light, self._focus = change, focus

    def scenery(self, data: mujoco.MjData, sky: bool) -> Picture:
        """The ground, before the sky or before black."""
        return self._draw("scenery", data, (GROUND,), self.side, sky=sky)

    def solids(self, data: mujoco.MjData, groups: Groups) -> Picture:
        """Solids before black, translucent ones as if they were opaque."""
        return self._draw("solids", data, groups, self.side)

    def opaque(self, data: mujoco.MjData, groups: Groups) -> Picture:
        """The opaque ones of these solids before black."""
        return self._draw("opaque", data, tuple(g for g in groups if g not in TRANSLUCENT), self.side)

    def segments(self, data: mujoco.MjData, groups: Groups, side: int) -> Picture:
        """The numbers of segments in place of colours, in a picture of another size; see :meth:`tables`."""
        self._flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = self._flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = True
        picture = self._draw("segments", data, groups, side)
        self._flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = self._flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = False
        if groups not in self._segments:
            self._segments[groups] = self._read_segments()
        return picture

    def tables(self, groups: Groups) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
        """What the numbers of :meth:`segments` mean.

        Returns:
            (S, 2) float64, whether the mask shows it and its opacity, and (S,) int32, the geom, -1 for none.
        """
        return self._segments[groups]

    def _draw(self, name: str, data: mujoco.MjData, groups: Groups, side: int, sky: bool = False) -> Picture:
        """One pass, in an array that the next pass of this name and size overwrites."""
        picture = self._pictures.get((name, side))
        if picture is None:
            picture = Picture(np.zeros((side, side, 3), np.uint8), np.zeros((side, side), np.float32))
            self._pictures[name, side] = picture
        option = self._options.get(groups)
        if option is None:
            option = self._options[groups] = _option(groups)
        scene, window = self._scene, mujoco.MjrRect(0, 0, side, side)
        self._flags[mujoco.mjtRndFlag.mjRND_SKYBOX] = sky
        mujoco.mjv_updateScene(self._model, data, option, None, self._view, CATEGORIES, scene)
        if self._light is not None:
            _change_lights(scene, self._light, self._focus, self.camera[1][0::3])
        mujoco.mjr_render(window, scene, self._upload)
        mujoco.mjr_readPixels(picture.rgb, picture.depth, window, self._upload)
        return picture

    def _read_segments(self) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
        """The segments of the last pass; which they are depends on the groups alone."""
        number = self._scene.ngeom
        parts, geoms = np.zeros((number + 1, 2)), np.full(number + 1, -1, np.int32)
        for segment in self._scene.geoms[:number]:
            kind, index = int(segment.objtype), int(segment.objid)
            parts[segment.segid + 1] = self._drawn.part(kind, index)
            if kind == mujoco.mjtObj.mjOBJ_GEOM:
                geoms[segment.segid + 1] = index
        return parts, geoms


def _option(groups: Groups) -> mujoco.MjvOption:
    option = mujoco.MjvOption()
    for shown in (option.geomgroup, option.skingroup, option.flexgroup):
        shown[:] = [group in groups for group in range(len(shown))]
    for hidden in (option.sitegroup, option.tendongroup, option.jointgroup, option.actuatorgroup):
        hidden[:] = 0
    option.flags[mujoco.mjtVisFlag.mjVIS_RANGEFINDER] = False
    return option


def _change_lights(
    scene: mujoco.MjvScene, change: LightChange, focus: NDArray[np.float64], right: NDArray[np.float64]
) -> None:
    """Colour the scene's lamps and carry them round a point, about the camera's axis ``right`` and the vertical."""
    for lamp in scene.lights[: scene.nlight]:
        for colour in (lamp.ambient, lamp.diffuse, lamp.specular):
            colour *= change.gain
        if change.yaw == 0 and change.pitch == 0:
            continue
        lamp.headlight = 0
        rotations = about(right, change.pitch), about(VERTICAL, change.yaw)
        lamp.pos = focus + turned(turned(lamp.pos - focus, rotations[0]), rotations[1])
        lamp.dir = turned(turned(np.array(lamp.dir, np.float64), rotations[0]), rotations[1])
