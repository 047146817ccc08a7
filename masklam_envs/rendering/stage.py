"""MuJoCo's scene and the passes that the OpenGL renderer draws of it."""

from __future__ import annotations

from typing import NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from masklam_envs.rendering.changes import VERTICAL, about, turned
from masklam_envs.rendering.drawn import SHOWN, Drawn, Layer, paint
from masklam_envs.rendering.gl import Context
from masklam_envs.rendering.look import LightChange, Look

# What costs time, or blurs what is seen through haze; the sky is turned on by the pass that shows it.
OFF = ("SHADOW", "REFLECTION", "SKYBOX", "FOG", "HAZE")
CATEGORIES = mujoco.mjtCatBit.mjCAT_STATIC | mujoco.mjtCatBit.mjCAT_DYNAMIC
SPARE_GEOMS = 16
SKYBOX = mujoco.mjtRndFlag.mjRND_SKYBOX
SEGMENTS = (mujoco.mjtRndFlag.mjRND_SEGMENT, mujoco.mjtRndFlag.mjRND_IDCOLOR)


class Picture(NamedTuple):
    """Passes as OpenGL has them, the lowest row first.

    Attributes:
        rgb: (..., S, S, 3) uint8.
        depth: (..., S, S) float32, 0 where nothing is, 1 at the near plane.
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]


class Glass(NamedTuple):
    """Translucent geoms.

    Attributes:
        rgb: (S, S, 3) uint8, as if they were opaque.
        depth: (S, S) float32.
        ids: (S, S, 3) uint8, the numbers of segments.
        parts: (segments, 2) float64, whether the mask shows a segment and its opacity.
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    ids: NDArray[np.uint8]
    parts: NDArray[np.float64]


NO_GLASS = Glass(
    np.zeros((0, 0, 3), np.uint8), np.zeros((0, 0), np.float32), np.zeros((0, 0, 3), np.uint8), np.zeros((0, 2))
)


class Stage:
    """The scene of one model with camera and lamps, drawn layer by layer.

    What it returns is overwritten by the next frame.

    Args:
        drawn: what is drawn.
        side: height and width of the pictures.
        half_height: tangent of half the field of view.
    """

    def __init__(self, drawn: Drawn, side: int, half_height: float) -> None:
        self.side = side
        self._drawn, self._model = drawn, drawn.model
        model, vis = drawn.model, drawn.model.vis.map
        #: metres to the near and the far plane
        self.range = (float(np.float32(vis.znear * model.stat.extent)), float(np.float32(vis.zfar * model.stat.extent)))
        self._scene = mujoco.MjvScene(model, model.ngeom + model.nflex + model.nskin + SPARE_GEOMS)
        self._flags = self._scene.flags
        for name in OFF:
            self._flags[getattr(mujoco.mjtRndFlag, f"mjRND_{name}")] = False
        for camera in self._scene.camera:
            camera.frustum_near, camera.frustum_far = self.range
            camera.frustum_top, camera.frustum_bottom = half_height * self.range[0], -half_height * self.range[0]
        self._option, self._view = _option(), mujoco.MjvCamera()
        self._view.type = mujoco.mjtCamera.mjCAMERA_USER  # the scene's camera is set here, not by MuJoCo
        #: position (3,) and matrix (9,) of the camera
        self.camera = (np.zeros(3), np.eye(3).ravel())
        self._light: LightChange | None = None
        self._focus = np.zeros(3)
        self._colours, self._painted = drawn.model.geom_rgba[:, :3].copy(), False
        self._kept: dict[str, bytes] = {}
        self._solids = _blank(len(drawn.solids), side)
        self._ground, self._glass, self._ghost = _blank(1, side), _blank(2, side), _blank(1, side)
        self._upload: mujoco.MjrContext | None = None

    def enter(self, context: Context) -> None:
        """Draw in this context, current now, from here on."""
        self._upload = context.upload(self._drawn.key, self._model, self)

    def set(
        self, position: NDArray[np.float64], matrix: NDArray[np.float64], look: Look, focus: NDArray[np.float64]
    ) -> None:
        """Prepare for a frame.

        Args:
            position: (3,) of the camera.
            matrix: (9,) of the camera, as ``MjData.cam_xmat``.
            look: colours and light are taken from it.
            focus: (3,) the point that lamps are carried round.
        """
        self.camera = position.copy(), matrix.copy()
        for camera in self._scene.camera:
            camera.pos, camera.forward, camera.up = position, -matrix[2::3], matrix[1::3]
        self._light, self._focus = look.light, focus
        if look.colours is not None or self._painted:
            paint(self._model, self._colours if look.colours is None else look.colours)
        self._painted = look.colours is not None

    def ground(self, data: mujoco.MjData, sky: bool) -> Picture:
        """The planes, before the sky or before black; kept while nothing of it moves."""
        layer = self._drawn.ground
        if not self._keeps("sky" if sky else "ground", data, layer):
            self._draw(layer, data, self._ground, 0, sky=sky)
            self._kept.pop("ground" if sky else "sky", None)  # they share a picture
        return Picture(self._ground.rgb[0], self._ground.depth[0])

    def sky(self, data: mujoco.MjData) -> Picture:
        """Nothing but the sky."""
        self._draw(self._drawn.nothing, data, self._ghost, 0, sky=True)  # a ghost's picture is drawn anew each time
        return Picture(self._ghost.rgb[0], self._ghost.depth[0])

    def solids(self, data: mujoco.MjData) -> Picture:
        """All layers of opaque solids, each before black; those that stand still are kept."""
        for i, layer in enumerate(self._drawn.solids):
            if not (layer.still and self._keeps(f"solids {i}", data, layer)):
                self._draw(layer, data, self._solids, i)
        return self._solids

    def ghost(self, data: mujoco.MjData) -> Picture:
        """One layer: the opaque solids of a ghost before black."""
        self._draw(self._drawn.ghost, data, self._ghost, 0)
        return self._ghost

    def glass(self, data: mujoco.MjData, layer: Layer) -> Glass:
        """The translucent solids of a layer."""
        if layer.is_empty:
            return NO_GLASS
        self._draw(layer, data, self._glass, 0)
        geoms = self.segments(layer, data, self._glass, 1)
        parts = np.zeros((len(geoms), 2))
        seen = geoms >= 0
        parts[seen] = np.stack([self._drawn.in_mask[geoms[seen]], self._drawn.opacity[geoms[seen]]], axis=1)
        return Glass(self._glass.rgb[0], self._glass.depth[0], self._glass.rgb[1], parts)

    def segments(self, layer: Layer, data: mujoco.MjData, picture: Picture, index: int) -> NDArray[np.int32]:
        """Draw the numbers of segments in place of colours; returns the geom of each, -1 for none."""
        for flag in SEGMENTS:
            self._flags[flag] = True
        self._draw(layer, data, picture, index)
        for flag in SEGMENTS:
            self._flags[flag] = False
        number = self._scene.ngeom
        geoms = np.full(number + 1, -1, np.int32)
        for segment in self._scene.geoms[:number]:
            if segment.objtype == mujoco.mjtObj.mjOBJ_GEOM:
                geoms[segment.segid + 1] = segment.objid
        return geoms

    def _draw(self, layer: Layer, data: mujoco.MjData, picture: Picture, index: int, sky: bool = False) -> None:
        """One pass into one of the pictures, which may be smaller than the frame buffer."""
        rgb, depth = picture.rgb[index], picture.depth[index]
        scene, window = self._scene, mujoco.MjrRect(0, 0, *depth.shape)
        layer.sort(self._model)
        self._flags[SKYBOX] = sky
        mujoco.mjv_updateScene(self._model, data, self._option, None, self._view, CATEGORIES, scene)
        if self._light is not None:
            _change_lights(scene, self._light, self._focus, self.camera[1][0::3])
        mujoco.mjr_render(window, scene, self._upload)
        mujoco.mjr_readPixels(rgb, depth, window, self._upload)

    def _keeps(self, name: str, data: mujoco.MjData, layer: Layer) -> bool:
        """Whether the picture of that name still shows what it should; it is taken to do so from now on."""
        if self._light is not None or self._painted:
            self._kept.pop(name, None)
            return False
        poses = (data.geom_xpos[layer.geoms], data.geom_xmat[layer.geoms], data.light_xpos, data.light_xdir)
        key = b"".join(part.tobytes() for part in (*self.camera, *poses))
        kept = self._kept.get(name) == key
        self._kept[name] = key
        return kept


def _blank(layers: int, side: int) -> Picture:
    return Picture(np.zeros((layers, side, side, 3), np.uint8), np.zeros((layers, side, side), np.float32))


def _option() -> mujoco.MjvOption:
    option = mujoco.MjvOption()
    for shown in (option.geomgroup, option.skingroup, option.flexgroup):
        shown[:] = 0
        shown[SHOWN] = 1
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
