"""The numbers that a state is made of: what each is, its unit and bounds, read from a MuJoCo model."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

import mujoco

Joint = mujoco.mjtJoint
#: unit of a sensor's readings, and how many they are
SENSORS = {
    mujoco.mjtSensor.mjSENS_TOUCH: ("N", 1),
    mujoco.mjtSensor.mjSENS_ACCELEROMETER: ("m/s^2", 3),
    mujoco.mjtSensor.mjSENS_VELOCIMETER: ("m/s", 3),
    mujoco.mjtSensor.mjSENS_GYRO: ("rad/s", 3),
    mujoco.mjtSensor.mjSENS_FORCE: ("N", 3),
    mujoco.mjtSensor.mjSENS_TORQUE: ("N m", 3),
}


@dataclasses.dataclass(frozen=True)
class Number:
    """One number of a state.

    :param what: words for it
    :param unit: e.g. ``"rad/s"``; empty where it has none
    :param low: what it is never below
    :param high: what it is never above
    :param limits: of its joint, from which MuJoCo pushes it back without forbidding more; None without any
    """

    what: str
    unit: str = ""
    low: float = -math.inf
    high: float = math.inf
    limits: tuple[float, float] | None = None

    def within(self, low: float, high: float) -> Number:
        """The same with bounds that hold too."""
        return dataclasses.replace(self, low=max(self.low, low), high=min(self.high, high))


def axes(what: str, unit: str = "", names: Iterable[str] = "xyz", bound: float = math.inf) -> list[Number]:
    """One number an axis."""
    return [Number(f"{what}, {axis}", unit, -bound, bound) for axis in names]


def share(what: str) -> Number:
    """A sine, a cosine or another component of a direction."""
    return Number(what, "", -1, 1)


def qpos(model: mujoco.MjModel, joints: Iterable[str] | None = None) -> list[Number]:
    """The position vector, or that of some joints in the order of their names."""
    return [number for j in _joints(model, joints) for number in _position(model, j)]


def qvel(model: mujoco.MjModel, joints: Iterable[str] | None = None) -> list[Number]:
    """The velocity vector, or that of some joints."""
    return [number for j in _joints(model, joints) for number in _velocity(model, j)]


def hinges(model: mujoco.MjModel) -> list[str]:
    """Names of the hinges."""
    return [model.joint(j).name for j in range(model.njnt) if model.jnt_type[j] == Joint.mjJNT_HINGE]


def cinert(model: mujoco.MjModel) -> list[Number]:
    """Inertia and mass of every body but the world, about the centre of mass of its tree, in the world's axes."""
    numbers = []
    for body in _bodies(model):
        numbers += axes(f"inertia of {body}", "kg m^2", ("xx", "yy", "zz", "xy", "xz", "yz"))
        numbers += axes(f"mass of {body} x its offset", "kg m")
        numbers.append(Number(f"mass of {body}", "kg"))
    return numbers


def cvel(model: mujoco.MjModel) -> list[Number]:
    """Velocity of every body but the world, at the centre of mass of its tree."""
    return _spatial(model, ("angular velocity of", "rad/s"), ("velocity of", "m/s"))


def cfrc_ext(model: mujoco.MjModel) -> list[Number]:
    """What pushes every body but the world from outside, contacts above all, at the centre of mass of its tree."""
    return _spatial(model, ("external torque on", "N m"), ("external force on", "N"))


def qfrc_actuator(model: mujoco.MjModel) -> list[Number]:
    """What the actuators do at every degree of freedom."""
    units = {"rad/s": "N m", "m/s": "N"}
    texts = (number for number in qvel(model))
    return [
        Number(
            number.what.replace("angular velocity of", "torque at").replace("velocity of", "force at"),
            units[number.unit],
        )
        for number in texts
    ]


def sensors(model: mujoco.MjModel, names: Iterable[str], scaled: str = "") -> list[Number]:
    """Readings of sensors.

    :param names: in this order
    :param scaled: a function that was applied to each, with ``{}`` for the unit, e.g. ``"log(1 + {})"``
    """
    numbers = []
    for name in names:
        unit, count = SENSORS[mujoco.mjtSensor(int(model.sensor(name).type[0]))]
        unit = scaled.format(unit) if scaled else unit
        numbers += [Number(f"sensor `{name}`", unit)] if count == 1 else axes(f"sensor `{name}`", unit)
    return numbers


def _joints(model: mujoco.MjModel, names: Iterable[str] | None) -> list[int]:
    return list(range(model.njnt)) if names is None else [model.joint(name).id for name in names]


def _bodies(model: mujoco.MjModel) -> list[str]:
    names = [model.body(body).name for body in range(1, model.nbody)]
    return [f"`{name}`" if name else f"body {i}" for i, name in enumerate(names, 1)]


def _joint(model: mujoco.MjModel, joint: int) -> str:
    name = model.joint(joint).name
    return f"`{name}`" if name else f"joint {joint}"


def _position(model: mujoco.MjModel, joint: int) -> list[Number]:
    name, kind = _joint(model, joint), model.jnt_type[joint]
    limits = tuple(model.jnt_range[joint].tolist()) if model.jnt_limited[joint] else None
    if kind == Joint.mjJNT_HINGE:
        return [Number(f"angle of {name}", "rad", limits=limits)]
    if kind == Joint.mjJNT_SLIDE:
        return [Number(f"position of {name}", "m", limits=limits)]
    place = axes(f"position of {name}", "m") if kind == Joint.mjJNT_FREE else []
    return place + axes(f"quaternion of {name}", names="wxyz")


def _velocity(model: mujoco.MjModel, joint: int) -> list[Number]:
    name, kind = _joint(model, joint), model.jnt_type[joint]
    if kind == Joint.mjJNT_HINGE:
        return [Number(f"angular velocity of {name}", "rad/s")]
    if kind == Joint.mjJNT_SLIDE:
        return [Number(f"velocity of {name}", "m/s")]
    place = axes(f"velocity of {name}", "m/s") if kind == Joint.mjJNT_FREE else []
    return place + axes(f"angular velocity of {name}", "rad/s", ("own x", "own y", "own z"))


def _spatial(model: mujoco.MjModel, rotation: tuple[str, str], translation: tuple[str, str]) -> list[Number]:
    numbers = []
    for body in _bodies(model):
        for what, unit in (rotation, translation):
            numbers += axes(f"{what} {body}", unit)
    return numbers
