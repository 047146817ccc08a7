"""Models with everything that the ray caster cannot draw, made here."""

from __future__ import annotations

import cv2
import mujoco
import numpy as np

# A pyramid on a square base, with texture coordinates: the picture's left half shows on x < 0, seen from the front.
PYRAMID = """
v -1 -1 0
v 1 -1 0
v 1 1 0
v -1 1 0
v 0 0 1
vt 0 0
vt 1 0
vt 0.5 1
f 1/1 2/2 5/3
f 2/1 3/2 5/3
f 3/1 4/2 5/3
f 4/1 1/2 5/3
f 3/1 2/2 1/3
f 4/1 3/2 1/3
"""
ROBOT = """
<mujoco>
  <compiler angle="radian"/>
  <visual><headlight ambient="0.4 0.4 0.4" diffuse="0.4 0.4 0.4"/></visual>
  <asset>
    <mesh name="pyramid" file="pyramid.obj" scale="0.3 0.3 0.5"/>
    <texture name="halves" type="2d" file="halves.png"/>
    <texture type="skybox" builtin="gradient" rgb1="0.2 0.4 0.8" rgb2="0 0 0" width="32" height="192"/>
    <material name="halves" texture="halves" specular="0"/>
  </asset>
  <worldbody>
    <light pos="0 -2 4"/>
    <camera name="front" pos="0 -3 1.2" xyaxes="1 0 0 0 0.3 1"/>
    <geom name="floor" type="plane" size="FLOOR" rgba="0.4 0.5 0.4 1"/>
    <geom name="table" type="mesh" mesh="pyramid" pos="0.5 0.4 0" rgba="0.6 0.5 0.3 1"/>
    <body name="robot" pos="-0.3 0 0.3">
      <joint name="slide" type="slide" axis="1 0 0"/>
      <joint name="turn" type="hinge" axis="0 0 1"/>
      <geom name="hull" type="mesh" mesh="pyramid" material="halves"/>
      <body name="arm" pos="0 0 0.5">
        <joint type="hinge" axis="0 1 0"/>
        <geom name="arm" type="box" size="0.3 0.05 0.05" pos="0.3 0 0" rgba="0.8 0.2 0.2 1"/>
      </body>
    </body>
    <body name="ball" pos="0.5 -0.4 0.3"><freejoint/><geom name="ball" type="box" size="0.12 0.12 0.12"/></body>
  </worldbody>
  <actuator><motor joint="slide"/><motor joint="turn"/></actuator>
</mujoco>
"""
SOFT = """
<mujoco>
  <asset><hfield name="hills" nrow="8" ncol="8" size="1 1 0.2 0.1"/></asset>
  <worldbody>
    <light pos="0 -2 4"/>
    <camera pos="0 -3 1.2" xyaxes="1 0 0 0 0.3 1"/>
    <geom name="hills" type="hfield" hfield="hills"/>
    <body name="torso" pos="-0.5 0 0.6"><freejoint/><geom name="torso" size="0.1"/></body>
    <flexcomp name="cloth" type="grid" dim="2" count="3 3 1" spacing="0.2 0.2 0.2" radius="0.02"
              pos="0.5 0 0.6" euler="60 0 0"/>
  </worldbody>
  <deformable>
    <skin name="skin" vertex="-0.3 0 0.1  0.3 0 0.1  0 0 0.5" face="0 1 2  0 2 1">
      <bone body="torso" bindpos="0 0 0" bindquat="1 0 0 0" vertid="0 1 2" vertweight="1 1 1"/>
    </skin>
  </deformable>
</mujoco>
"""


def robot(floor: str = "4 4 1") -> mujoco.MjModel:
    """A robot of a mesh, red on the left and blue on the right, and a box; nq = 10: slide, turn, arm, the free ball."""
    halves = np.zeros((16, 16, 3), np.uint8)
    halves[:, :8, 2], halves[:, 8:, 0] = 255, 255  # OpenCV has blue first
    png = cv2.imencode(".png", halves)[1].tobytes()
    return mujoco.MjModel.from_xml_string(
        ROBOT.replace("FLOOR", floor), {"pyramid.obj": PYRAMID.encode(), "halves.png": png}
    )


def soft() -> mujoco.MjModel:
    """Hills, a ball with a skin above it, and a cloth."""
    model = mujoco.MjModel.from_xml_string(SOFT)
    model.hfield_data[:] = np.random.default_rng(0).random(model.hfield_data.shape)
    return model
