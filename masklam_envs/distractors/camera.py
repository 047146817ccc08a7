"""``camera``: a camera that drifts round the point it looks at, as in the Distracting Control Suite."""

from __future__ import annotations

import math

import numpy as np

from masklam_envs.distractors.base import Backdrop, Context, Float32Array, Float64Array, Part
from masklam_envs.distractors.options import checked_flag, checked_number
from masklam_envs.exact import arctan2, sincos
from masklam_envs.rendering.look import CameraChange

# The suite's numbers at scale 1. Lengths there are metres at its usual distance of 4 m, here shares of the distance.
ANGLE = math.pi / 2
SPEED_STD, MAX_SPEED = 0.1 / 4, 0.4 / 4
ROLL_STD, MAX_ROLL_SPEED = math.pi / 300, math.pi / 50
ZOOM_IN, ZOOM_OUT = 0.5, 1.5
# A camera that starts closer to the vertical than this (radians) looks straight down.
POLE = 0.1


class Camera(Part):
    """The camera's distance, azimuth, polar angle and roll walk at random with velocities that walk themselves.

    Bounds at scale ``s``: polar angle, azimuth and roll pi/2 s to either side, distance 1 - 0.5 s to 1 + 1.5 s times
    what it was.  The velocity along each of the world's axes changes by a Gaussian of 0.1 s a step, and its length is
    at most 0.4 s, in metres at 4 m distance and in proportion elsewhere; the roll's by pi/300 s, at most pi/50 s.  At a
    bound the place is clipped and the velocity becomes what is left of the step.  All of it from the Distracting
    Control Suite (Stone et al. 2021, https://arxiv.org/abs/2101.02722).  A camera that looks straight down does not
    turn the picture when it goes round the vertical, as in the suite's reacher.

    The row is ``(distance, azimuth, polar angle, roll)``, the velocity along x, y and z, and the roll's; the first as a
    multiple of what it was, the second and fourth as differences to what they were, radians; velocities in distances
    (and radians) a step.

    :param scale: s in [0, 1]; the suite's easy, medium and hard are 0.1, 0.2 and 0.3
    :param dynamic: False: one camera for a whole episode
    :param upper: keep the camera above the level of the point that it looks at and on the side of the robot where y is
        negative, as the suite does for all domains but its reacher; a camera that starts elsewhere is not bound so
    :raises ValueError: when an option is out of its range, or there is no model
    """

    width = 8

    def __init__(self, context: Context, *, scale: float = 0.1, dynamic: bool = True, upper: bool = True) -> None:
        super().__init__(context)
        s = checked_number("camera", "scale", scale, 0.0, 1.0)
        scene = context.scene_for("camera")
        self._polar, self._azimuth = scene.polar, scene.azimuth
        self._looks_down = scene.polar < POLE
        polar, azimuth = scene.polar, scene.azimuth
        low = [1 - ZOOM_IN * s, -ANGLE * s, max(polar - ANGLE * s, 0.0), -ANGLE * s]
        high = [1 + ZOOM_OUT * s, ANGLE * s, min(polar + ANGLE * s, math.pi), ANGLE * s]
        if checked_flag("camera", "upper", upper):
            if polar <= math.pi / 2:
                high[2] = min(high[2], math.pi / 2)
            if -math.pi <= azimuth <= 0:
                low[1], high[1] = max(low[1], -math.pi - azimuth), min(high[1], -azimuth)
        self.low, self.high = low, high
        self._moves = checked_flag("camera", "dynamic", dynamic)
        self._std = [SPEED_STD * s] * 3 + [ROLL_STD * s]
        self._most, self._most_roll = MAX_SPEED * s, MAX_ROLL_SPEED * s

    def start(self, rng: np.random.Generator) -> Float64Array:
        """Anywhere between the bounds, going anywhere."""
        low, high = np.array(self.low), np.array(self.high)
        place = low + rng.random(4) * (high - low)
        direction, speed = rng.standard_normal(3), rng.random()
        length = math.sqrt(float(np.add.reduce(direction * direction))) + 1e-12
        velocity = [*(direction * (speed * self._most / length)), (2 * rng.random() - 1) * self._most_roll]
        return np.concatenate([place, np.array(velocity) if self._moves else np.zeros(4)])

    def advance(
        self, rng: np.random.Generator, row: Float64Array, actions: Float64Array, states: Float32Array
    ) -> Float64Array:
        """One step after the other: (T, 8)."""
        pushes = (rng.standard_normal((len(actions), 4)) * self._std).tolist()
        if not self._moves:
            return np.repeat(row[None], len(pushes), axis=0)
        rows, place = [], row.tolist()
        for push in pushes:
            place = self._step(place, push)
            rows.append(place)
        return np.array(rows, np.float64).reshape(-1, 8)

    def _step(self, row: list[float], push: list[float]) -> list[float]:
        place = row[:4]
        velocity = [v + p for v, p in zip(row[4:], push, strict=True)]
        speed = math.sqrt(velocity[0] ** 2 + velocity[1] ** 2 + velocity[2] ** 2)
        if speed > self._most:
            velocity[:3] = [v * (self._most / speed) for v in velocity[:3]]
        velocity[3] = min(max(velocity[3], -self._most_roll), self._most_roll)
        before = self._point(place)
        moved = [*self._sphere([p + v for p, v in zip(before, velocity, strict=False)]), place[3] + velocity[3]]
        moved = [min(max(m, low), high) for m, low, high in zip(moved, self.low, self.high, strict=True)]
        left = [m - p for m, p in zip(self._point(moved), before, strict=True)]
        return [*moved, *left, moved[3] - place[3]]

    def _point(self, place: list[float]) -> tuple[float, float, float]:
        """Where the camera is about the point that it looks at: x, y and z."""
        (sine, cosine), (sine_h, cosine_h) = sincos(place[2]), sincos(self._azimuth + place[1])
        return place[0] * sine * cosine_h, place[0] * sine * sine_h, place[0] * cosine

    def _sphere(self, point: list[float]) -> tuple[float, float, float]:
        """Distance, azimuth (less what it was, in [-pi, pi]) and polar angle of a point."""
        x, y, z = point
        level = x * x + y * y
        turn = arctan2(y, x) - self._azimuth
        azimuth = turn - 2 * math.pi * round(turn / (2 * math.pi))
        return math.sqrt(level + z * z), azimuth, arctan2(math.sqrt(level), z)

    def paint(self, row: Float64Array, backdrop: Backdrop) -> None:
        """Carry the camera, on top of what earlier parts did to it."""
        distance, azimuth, polar, roll = row[:4].tolist()
        before = backdrop.camera or CameraChange()
        backdrop.camera = CameraChange(
            before.yaw + azimuth,
            before.pitch + self._polar - polar,
            before.roll + roll - (azimuth if self._looks_down else 0.0),
            before.distance * distance,
        )

    def motion(self, rows: Float64Array) -> Float64Array:
        """What each step adds to distance, azimuth, polar angle and roll: (T, 4)."""
        return np.diff(rows[:, :4], axis=0)
