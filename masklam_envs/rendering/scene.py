"""What to draw: the tables of a MuJoCo model's visible geoms, lights and textures that the ray caster reads.

A geom is visible as in MuJoCo's default view: group 0 to 2 and not fully transparent.  Sites, tendons, skins and flexes
are left out, as are shadows, reflections and haze.  The ground's texture is taken as a tile of 2 x 2 checks, that of a
solid as its mean colour.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import mujoco
import numpy as np
from numpy.typing import NDArray

from masklam_envs.rendering import raycast as rc

SOLID_KINDS = {
    mujoco.mjtGeom.mjGEOM_SPHERE: rc.CAPSULE,
    mujoco.mjtGeom.mjGEOM_CAPSULE: rc.CAPSULE,
    mujoco.mjtGeom.mjGEOM_ELLIPSOID: rc.ELLIPSOID,
    mujoco.mjtGeom.mjGEOM_CYLINDER: rc.CYLINDER,
    mujoco.mjtGeom.mjGEOM_BOX: rc.BOX,
}
VISIBLE_GROUPS = 3  # MuJoCo's default view shows the groups below this one
# MuJoCo's defaults: the geom colour that a material overrides, and the gloss of a geom without material.
UNSET_RGBA = (0.5, 0.5, 0.5, 1.0)
PLAIN_EMISSION, PLAIN_SPECULAR, PLAIN_SHININESS = 0.0, 0.5, 0.5
LAMPLESS_AMBIENT = 0.3  # MuJoCo's light for a scene without any lamp


@dataclasses.dataclass(frozen=True)
class Scene:
    """Constants of one model; columns are named in :mod:`masklam_envs.rendering.raycast`.

    Args:
        solids: (S, SOLID_COLUMNS) float64, everything but planes.
        planes: (P, PLANE_COLUMNS) float64.
        sky: (6, n, n, 3) float64 cube map in 0..255; n = 0 stands for black.
        lights: (L, LIGHT_COLUMNS) float64, the headlight first.
        ambient: light that is there without any lamp.
        tints: (ngeom, 3) float64, what a geom's colour is multiplied by where it is drawn in one colour: the mean of a
            solid's texture.
    """

    solids: NDArray[np.float64]
    planes: NDArray[np.float64]
    sky: NDArray[np.float64]
    lights: NDArray[np.float64]
    ambient: float
    tints: NDArray[np.float64]


def build_scene(model: mujoco.MjModel, agent_bodies: Sequence[int] | None = None) -> Scene:
    """Collect what the ray caster needs to know about ``model``.

    Args:
        model: the compiled model; later changes to it are not seen.
        agent_bodies: body ids whose geoms the mask shows; None is every body but the world (0).

    Raises:
        ValueError: a visible geom is a mesh, a height field or a signed distance field, or a body id does not exist.
    """
    bodies = agent_body_ids(model, agent_bodies)
    visible = [g for g in range(model.ngeom) if is_visible(model, g)]
    for g in visible:
        _check_type(model, g)
    planes = [g for g in visible if model.geom_type[g] == mujoco.mjtGeom.mjGEOM_PLANE]
    means = _texture_means(model)
    solids = [_solid(model, g, bodies, means) for g in visible if g not in planes]
    lights = _lights(model)
    return Scene(
        solids=np.array(solids, np.float64).reshape(-1, rc.SOLID_COLUMNS),
        planes=np.array([_plane(model, g, bodies) for g in planes], np.float64).reshape(-1, rc.PLANE_COLUMNS),
        sky=_sky(model),
        lights=lights,
        ambient=0.0 if len(lights) else LAMPLESS_AMBIENT,
        tints=np.array([_tint(model, g, means) for g in range(model.ngeom)], np.float64).reshape(-1, 3),
    )


def agent_body_ids(model: mujoco.MjModel, agent_bodies: Sequence[int] | None) -> set[int]:
    """The given bodies, or every body but the world.

    Raises:
        ValueError: a body id does not exist.
    """
    bodies = set(range(1, model.nbody)) if agent_bodies is None else {int(body) for body in agent_bodies}
    unknown = sorted(bodies - set(range(model.nbody)))
    if unknown:
        raise ValueError(f"agent_bodies {unknown} do not exist; the model has bodies 0 to {model.nbody - 1}")
    return bodies


def is_visible(model: mujoco.MjModel, geom: int) -> bool:
    """Whether MuJoCo's default view shows a geom."""
    return bool(model.geom_group[geom] < VISIBLE_GROUPS and geom_rgba(model, geom)[3] > 0)


def can_be_cast(model: mujoco.MjModel) -> bool:
    """Whether the ray caster draws all that is visible: no mesh, height field, signed distance field, skin or flex."""
    geoms = all(_has_known_type(model, g) for g in range(model.ngeom) if is_visible(model, g))
    return geoms and not any((groups < VISIBLE_GROUPS).any() for groups in (model.skin_group, model.flex_group))


def _has_known_type(model: mujoco.MjModel, geom: int) -> bool:
    kind = mujoco.mjtGeom(model.geom_type[geom])
    return kind in SOLID_KINDS or kind == mujoco.mjtGeom.mjGEOM_PLANE


def _check_type(model: mujoco.MjModel, geom: int) -> None:
    if not _has_known_type(model, geom):
        kind = mujoco.mjtGeom(model.geom_type[geom])
        name = model.geom(geom).name or "(no name)"
        raise ValueError(
            f"geom {geom} {name!r} is of type {kind.name.removeprefix('mjGEOM_').lower()}; the ray caster draws only "
            "capsule, sphere, cylinder, box, ellipsoid and plane (geoms of group 3 and above are not drawn); "
            "renderer='opengl' draws all"
        )


def geom_rgba(model: mujoco.MjModel, geom: int) -> NDArray[np.float64]:
    """MuJoCo's rule: the material's colour, unless the geom has one of its own."""
    material, own = model.geom_matid[geom], model.geom_rgba[geom]
    return np.array(model.mat_rgba[material] if material >= 0 and tuple(own) == UNSET_RGBA else own, np.float64)


def _look(model: mujoco.MjModel, geom: int, bodies: set[int]) -> list[float]:
    """The columns that solids and planes share."""
    emission, specular, shininess = PLAIN_EMISSION, PLAIN_SPECULAR, PLAIN_SHININESS
    material = model.geom_matid[geom]
    if material >= 0:
        emission, specular = model.mat_emission[material], model.mat_specular[material]
        shininess = model.mat_shininess[material]
    highlight = round(64 * float(shininess))  # OpenGL's exponent is 128 times the shininess
    gloss = (emission, specular, highlight, _matte(highlight, float(specular)))
    is_agent = int(model.geom_bodyid[geom]) in bodies
    return [float(x) for x in (*model.geom_size[geom], *geom_rgba(model, geom), *gloss, geom, is_agent)]


def _matte(highlight: int, specular: float) -> float:
    """The squared cosine below which a highlight adds less than 1/1024, in steps that every machine computes alike."""
    steps = range(64)
    faint = [step / 64 for step in steps if specular * math.prod([step / 64] * highlight) < 1 / 1024]
    return max(faint, default=-1.0)


def _texture_means(model: mujoco.MjModel) -> dict[int, NDArray[np.float64]]:
    """The mean colour (3,) in 0..255 of every texture that a solid has."""
    solids = np.flatnonzero(model.geom_type != mujoco.mjtGeom.mjGEOM_PLANE).tolist()
    textures = {_material_texture(model, geom) for geom in solids} - {-1}
    return {texture: _texture(model, texture).mean(axis=(0, 1)) for texture in textures}


def _solid(model: mujoco.MjModel, geom: int, bodies: set[int], means: dict[int, NDArray[np.float64]]) -> list[float]:
    row = _look(model, geom, bodies)
    if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_SPHERE:
        row[rc.SIZE + 1] = 0.0  # a capsule of length zero
    texture = _material_texture(model, geom)
    if texture >= 0:
        row[rc.RGBA : rc.RGBA + 3] = (np.array(row[rc.RGBA : rc.RGBA + 3]) * means[texture] / 255.0).tolist()
    return [*row, float(SOLID_KINDS[mujoco.mjtGeom(model.geom_type[geom])])]


def _tint(model: mujoco.MjModel, geom: int, means: dict[int, NDArray[np.float64]]) -> NDArray[np.float64]:
    """The mean colour (3,) in 0..1 of the texture of a solid, ones without any; a plane's texture is drawn."""
    texture = _material_texture(model, geom)
    if texture < 0 or model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_PLANE:
        return np.ones(3)
    return means[texture] / 255.0


def _plane(model: mujoco.MjModel, geom: int, bodies: set[int]) -> list[float]:
    """A plane's row: its texture is reduced to the means of its four quadrants, which a builtin checker is exactly."""
    row = _look(model, geom, bodies)
    texture = _ground_texture(model, geom)
    if texture is None:
        return [*row, 0.0, 0.0, 1.0, 1.0, 1.0, *[0.0] * 9]
    h, w = texture.shape[0] // 2, texture.shape[1] // 2
    halves = [[texture[:h, :w], texture[:h, w:]], [texture[h:, :w], texture[h:, w:]]]
    (a, b), (c, d) = [[np.mean(quadrant, axis=(0, 1)) for quadrant in half] for half in halves]
    waves = np.concatenate([a + b + c + d, a - b + c - d, a + b - c - d, a - b - c + d]) / 4
    return [*row, *_texture_scale(model, geom), *waves.tolist()]


def _texture_scale(model: mujoco.MjModel, geom: int) -> tuple[float, float]:
    """Texture coordinates per metre along the plane's x and y, as MuJoCo's OpenGL renderer maps them."""
    material = model.geom_matid[geom]
    scale = 0.5 * model.mat_texrepeat[material].astype(np.float64)
    for k in range(2):
        size = model.geom_size[geom, k]
        if size > 0 and not model.mat_texuniform[material]:
            scale[k] /= size
    return float(scale[0]), -float(scale[1])


def _material_texture(model: mujoco.MjModel, geom: int) -> int:
    """Index of the colour texture of a geom's material, -1 without one."""
    material = model.geom_matid[geom]
    return int(model.mat_texid[material, mujoco.mjtTextureRole.mjTEXROLE_RGB]) if material >= 0 else -1


def _ground_texture(model: mujoco.MjModel, geom: int) -> NDArray[np.float64] | None:
    """The 2-D texture (h, w, 3) in 0..1 of a plane's material, if it has one."""
    texture = _material_texture(model, geom)
    if texture < 0 or model.tex_type[texture] != mujoco.mjtTexture.mjTEXTURE_2D:
        return None
    return _texture(model, texture) / 255.0


def _texture(model: mujoco.MjModel, texture: int) -> NDArray[np.float64]:
    """A texture's rows (height, width, 3) in 0..255."""
    h, w, c = (int(x[texture]) for x in (model.tex_height, model.tex_width, model.tex_nchannel))
    start = int(model.tex_adr[texture])
    data = model.tex_data[start : start + h * w * c].reshape(h, w, c)
    return np.array(data[..., :3] if c >= 3 else np.repeat(data[..., :1], 3, axis=2), np.float64)


def _sky(model: mujoco.MjModel) -> NDArray[np.float64]:
    """The first skybox as six faces; a single stored face stands for all six."""
    boxes = np.flatnonzero(model.tex_type == mujoco.mjtTexture.mjTEXTURE_SKYBOX)
    if not len(boxes):
        return np.zeros((6, 0, 0, 3))
    rows = _texture(model, int(boxes[0]))
    n = rows.shape[1]
    faces = rows.reshape(-1, n, n, 3)
    return np.ascontiguousarray(faces if len(faces) == 6 else np.repeat(faces[:1], 6, axis=0))


def _lights(model: mujoco.MjModel) -> NDArray[np.float64]:
    """Rows of the headlight and the model's active lights."""
    rows = []
    head = model.vis.headlight
    if head.active:
        rows.append([rc.HEADLIGHT, 0, *head.ambient, *head.diffuse, *head.specular, 1, 0, 0, 0, -2])
    for i in np.flatnonzero(model.light_active).tolist():
        if not (_is_directional(model, i) or _is_spot(model, i)):
            continue  # MuJoCo's own renderer leaves point and image lamps out
        colours = (*model.light_ambient[i], *model.light_diffuse[i], *model.light_specular[i])
        if _is_directional(model, i):
            rows.append([rc.DIRECTIONAL, i, *colours, 1, 0, 0, 0, -2])
        else:
            cosine = math.cos(math.radians(model.light_cutoff[i])) if model.light_cutoff[i] <= 90 else -2
            power = round(float(model.light_exponent[i]))
            rows.append([rc.POSITIONAL, i, *colours, *model.light_attenuation[i], power, cosine])
    return np.array(rows, np.float64).reshape(-1, rc.LIGHT_COLUMNS)


def _is_directional(model: mujoco.MjModel, light: int) -> bool:
    if hasattr(model, "light_type"):
        return bool(model.light_type[light] == mujoco.mjtLightType.mjLIGHT_DIRECTIONAL)
    return bool(model.light_directional[light])  # MuJoCo before 3.3.3


def _is_spot(model: mujoco.MjModel, light: int) -> bool:
    if hasattr(model, "light_type"):
        return bool(model.light_type[light] == mujoco.mjtLightType.mjLIGHT_SPOT)
    return not model.light_directional[light]
