"""Edges are blended by the share of a pixel that a solid covers."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from masklam_envs.rendering import RaycastRenderer
from masklam_envs.rendering.look import Look, Plate

# A distant narrow camera: a pixel is 1/64 m at the geom, without perspective to speak of.
XML = """
<mujoco>
  <worldbody>
    <camera pos="0 0 100" fovy="0.572957"/>
    <body>
      <joint type="slide" axis="1 0 0"/>
      <joint type="slide" axis="0 1 0"/>
      <joint type="hinge" axis="0 0 1"/>
      <geom type="{kind}" size="{size}" {pose}/>
    </body>
    {more}
  </worldbody>
</mujoco>
"""
PIXEL = 1 / 64
CAPSULE = ("capsule", "0.05 0.2", 'euler="0 90 0"')
LYING = 'euler="90 0 0"'


def build(kind: str, size: str, pose: str = "", more: str = "") -> RaycastRenderer:
    return RaycastRenderer(mujoco.MjModel.from_xml_string(XML.format(kind=kind, size=size, pose=pose, more=more)))


def coverage(renderer: RaycastRenderer, qpos: list[float]) -> NDArray[np.float64]:
    """Share of each pixel that is covered, read from how much of a white plate is gone, in [0, 1]."""
    black = renderer.draw(np.array(qpos), Look(Plate(np.zeros((64, 64, 3), np.uint8))))[0]
    white = renderer.draw(np.array(qpos), Look(Plate(np.full((64, 64, 3), 255, np.uint8))))[0]
    return 1 - (white[..., 0].astype(float) - black[..., 0]) / 255


@pytest.fixture(scope="module")
def capsule() -> RaycastRenderer:
    return build(*CAPSULE)


@pytest.mark.parametrize(
    ("kind", "size", "pose", "area", "tolerance"),
    [
        (*CAPSULE, 0.4 * 0.1 + np.pi * 0.05**2, 0.02),
        ("capsule", "0.004 0.2", 'euler="0 90 0"', 0.4 * 0.008 + np.pi * 0.004**2, 0.05),  # half a pixel wide
        ("sphere", "0.2", "", np.pi * 0.2**2, 0.02),
        ("ellipsoid", "0.3 0.1 0.1", "", np.pi * 0.3 * 0.1, 0.02),
        ("cylinder", "0.1 0.2", LYING, 0.2 * 0.4, 0.02),
        ("box", "0.2 0.1 0.1", "", 0.4 * 0.2, 0.02),
    ],
)
def test_summed_coverage_is_the_area(kind: str, size: str, pose: str, area: float, tolerance: float) -> None:
    renderer = build(kind, size, pose)
    sums = [coverage(renderer, [0.003 * k, 0.002 * k, 0.37 * k]).sum() * PIXEL**2 for k in range(5)]
    np.testing.assert_allclose(sums, area, rtol=tolerance)


def test_a_tenth_of_a_pixel_shows(capsule: RaycastRenderer) -> None:
    frames = np.array([coverage(capsule, [0.0, 0.1 * PIXEL * k, 0.0]) for k in range(8)])
    middle = frames[:, :, 32]
    changes = np.diff(middle, axis=0)
    upper, lower = changes[:, :32], changes[:, 32:]  # it moves up: covered above, uncovered below
    assert (upper >= 0).all() and (lower <= 0).all()
    assert (upper.sum(axis=1) > 0.09).all() and (lower.sum(axis=1) < -0.09).all()


@settings(max_examples=20, deadline=None)
@given(st.floats(-0.2, 0.2), st.floats(-0.2, 0.2), st.floats(-3, 3))
def test_coverage_keeps_the_centre_of_mass(capsule: RaycastRenderer, x: float, y: float, angle: float) -> None:
    cover = coverage(capsule, [x, y, angle])
    at = (np.arange(64) + 0.5 - 32) * PIXEL
    centre = np.array([(cover.sum(axis=0) * at).sum(), -(cover.sum(axis=1) * at).sum()]) / cover.sum()
    np.testing.assert_allclose(centre, [x, y], atol=0.05 * PIXEL)


def test_inner_edges_are_smooth_too() -> None:
    """A capsule before a large white box: its edge takes the box's colour, not the plate's."""
    box = '<geom type="box" size="0.4 0.4 0.01" pos="0 0 -0.3" rgba="1 1 1 1"/>'
    renderer = build(*CAPSULE, more=box)
    plates = [Look(Plate(np.full((64, 64, 3), c, np.uint8))) for c in (0, 255)]
    frames = [renderer.draw(np.array([0.0, 0.25 * PIXEL, 0.0]), look)[0] for look in plates]
    np.testing.assert_array_equal(frames[0][20:44, 32], frames[1][20:44, 32])
    assert len(np.unique(frames[0][20:44, 32, 0])) > 4


def test_the_line_where_a_plane_cuts_a_solid_is_smooth() -> None:
    """A sphere sinks into an invisible floor seen from the side; its visible area shrinks without steps."""
    model = mujoco.MjModel.from_xml_string(
        """<mujoco><worldbody><camera pos="0 -3 1" xyaxes="1 0 0 0 0.3 1"/><geom type="plane" size="2 2 1"/>
        <body pos="0 0 0.2"><joint type="slide" axis="0 0 1"/><geom size="0.4"/></body></worldbody></mujoco>"""
    )
    renderer = RaycastRenderer(model)
    steps = np.diff([coverage(renderer, [-0.002 * k]).sum() for k in range(40)])  # a twentieth of a pixel each
    assert (steps < -0.4).all() and (steps > -1.2).all()
