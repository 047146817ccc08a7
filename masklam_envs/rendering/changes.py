"""What a look changes in the ray caster's tables and poses: colours, lamps and the place of a ghost."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklam_envs.exact import sincos
from masklam_envs.rendering import raycast as rc
from masklam_envs.rendering.look import Ghost, LightChange

Floats = NDArray[np.float64]

VERTICAL = np.array([0.0, 0.0, 1.0])


def coloured(table: Floats, colours: Floats, tints: Floats) -> Floats:
    """A copy of a table of solids or planes in other colours.

    Args:
        table: (N, columns), as the ray caster has it.
        colours: (ngeom, 3) in 0..1.
        tints: (ngeom, 3), see :class:`~masklam_envs.rendering.scene.Scene`.
    """
    changed, geoms = table.copy(), table[:, rc.GEOM].astype(np.int64)
    changed[:, rc.RGBA : rc.RGBA + 3] = colours[geoms] * tints[geoms]
    return changed


def changed_lights(
    lights: Floats, light_xpos: Floats, light_xdir: Floats, matrix: Floats, focus: Floats, change: LightChange
) -> tuple[Floats, Floats, Floats]:
    """Copies of the lamps' table, positions and directions, coloured and carried round a point.

    Args:
        lights: (L, LIGHT_COLUMNS).
        light_xpos: (nlight, 3) metres.
        light_xdir: (nlight, 3).
        matrix: (9,) of the camera, as ``MjData.cam_xmat``.
        focus: (3,) metres, the point.
        change: how.
    """
    lights = lights.copy()
    for column in (rc.AMBIENT, rc.DIFFUSE, rc.LIGHT_SPECULAR):
        lights[:, column : column + 3] *= change.gain
    if change.yaw == 0 and change.pitch == 0:
        return lights, light_xpos, light_xdir
    axes = matrix.reshape(3, 3)
    # The headlight becomes one that shines from a direction of its own.
    head = lights[:, rc.LIGHT_KIND] == rc.HEADLIGHT
    lights[head, rc.LIGHT_KIND], lights[head, rc.LIGHT_INDEX] = rc.DIRECTIONAL, len(light_xdir)

    def carried(vectors: Floats) -> Floats:
        return turned(turned(vectors, about(axes[:, 0], change.pitch)), about(VERTICAL, change.yaw))

    positions = np.concatenate([light_xpos, focus[None]])
    directions = np.concatenate([light_xdir, -axes[:, 2][None]])
    return lights, focus + carried(positions - focus), carried(directions)


def ghost_poses(
    geoms: NDArray[np.int64], data: Any, poses: tuple[Floats, ...], ghost: Ghost, metres: float
) -> tuple[Floats, Floats]:
    """Positions and matrices of all geoms with the agent's where the ghost is.

    Args:
        geoms: the agent's, at least one.
        data: ``MjData`` with the kinematics of the ghost's pose.
        poses: those of the frame: geoms' positions and matrices, the camera's position and matrix.
        ghost: how it is placed.
        metres: size of a pixel of a 64-pixel-wide image at the ghost's distance.
    """
    xpos, xmat, axes = poses[0].copy(), poses[1].copy(), poses[3].reshape(3, 3)
    shift = metres * (ghost.x * axes[:, 0] - ghost.y * axes[:, 1])
    rotation, pivot = about(VERTICAL, ghost.turn), np.add.reduce(data.geom_xpos[geoms], axis=0) / len(geoms)
    xpos[geoms] = pivot + turned(data.geom_xpos[geoms] - pivot, rotation) + shift
    columns = data.geom_xmat[geoms].reshape(-1, 3, 3).swapaxes(1, 2)
    xmat[geoms] = turned(columns, rotation).swapaxes(1, 2).reshape(-1, 9)
    return xpos, xmat


def about(axis: Floats, angle: float) -> Floats:
    """The rotation matrix (3, 3) about a unit axis (3,), by Rodrigues' formula."""
    sine, cosine = sincos(angle)
    x, y, z = axis.tolist()
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return cosine * np.eye(3) + sine * cross + (1.0 - cosine) * axis[:, None] * axis[None, :]


def turned(vectors: Floats, rotation: Floats) -> Floats:
    """Vectors (..., 3) turned by a matrix; sums in a fixed order, which a matrix product does not promise."""
    x, y, z = vectors[..., 0:1], vectors[..., 1:2], vectors[..., 2:3]
    result: Floats = x * rotation[:, 0] + y * rotation[:, 1] + z * rotation[:, 2]
    return result
