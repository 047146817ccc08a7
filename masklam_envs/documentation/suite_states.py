"""The states of dm_control's and Meta-World's tasks, number by number.

dm_control names the parts of its observations; what each is made of stands here, from its sources (1.0.50).  Meta-World
has 39 numbers for every task.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mujoco
from mujoco import MjModel as Model

from masklam_envs.documentation.numbers import Number, axes, hinges, qpos, qvel, sensors, share

Part = Callable[[Model], list[Number]]

LOG = "log(1 + {})"
ARM = ("arm_root", "arm_shoulder", "arm_elbow", "arm_wrist", "finger", "fingertip", "thumb", "thumbtip")
FISH = ("tail1", "tail_twist", "tail2", "finright_roll", "finright_pitch", "finleft_roll", "finleft_pitch")
HANDS_AND_FEET = ("left hand", "left foot", "right hand", "right foot")
HAND_PARTS = ("palm", "finger", "thumb", "fingertip", "thumbtip")
_POSE = ("x", "z", "quaternion's w", "quaternion's y")
NOTHING = Number("nothing", "", 0, 0)


def suite_state(env_id: str, base: Any) -> list[Number]:
    """What each number of a suite's observation is.

    :param env_id: e.g. ``"DMC/cheetah-run-v0"``
    :param base: the unwrapped environment
    """
    suite, _, name = env_id.partition("/")
    if suite == "MetaWorld":
        return _metaworld(name)
    if suite != "DMC":
        return []
    domain = name.partition("-")[0]
    found: list[Number] = []
    for part, count in base.observation_structure.items():
        make = DMC.get((domain, part)) or DMC.get(("", part))
        made = make(base.physics_model) if make else []
        found += made if len(made) == count else [Number(f"{part} {i}") for i in range(count)]
    return found


def _after(first: int) -> Part:
    return lambda model: qpos(model)[first:]


def _axes(what: str, unit: str = "", names: Any = "xyz") -> Part:
    return lambda model: axes(what, unit, names)


def _sines(model: Model) -> list[Number]:
    return [share(f"{ratio} of the angle of `{joint}`") for joint in ARM for ratio in ("sine", "cosine")]


def _pose(*bodies: str) -> Part:
    return lambda model: [
        Number(f"pose of `{body}`, {part}", "m" if part in "xz" else "") for body in bodies for part in _POSE
    ]


def _boxes(model: Model) -> list[str]:
    return [f"box{i}" for i in range(4) if mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, f"box{i}") >= 0]


def _held(part: str) -> Part:
    """A part of the manipulator: of the thing that the task has, ball or peg."""

    def make(model: Model) -> list[Number]:
        has_ball = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, "ball") >= 0
        thing = "ball" if has_ball else "peg"
        if part == "velocity":
            return qvel(model, [f"{thing}_{axis}" for axis in "xzy"])
        return _pose(thing if part == "pose" else f"target_{thing}")(model)

    return make


def _cartpole(model: Model) -> list[Number]:
    poles = [model.body(body).name for body in range(2, model.nbody)]
    tilts = [share(f"{ratio} of the tilt of `{pole}`") for pole in poles for ratio in ("cosine", "sine")]
    return [*qpos(model, ("slider",)), *tilts]


def _walker(model: Model) -> list[Number]:
    bodies = [model.body(body).name for body in range(1, model.nbody)]
    return [share(f"{ratio} of the tilt of `{body}`") for body in bodies for ratio in ("cosine", "sine")]


def _swimmer(model: Model) -> list[Number]:
    bodies = [model.body(body).name for body in range(1, model.nbody)]
    return [
        number
        for body in bodies
        for number in (
            *axes(f"velocity of `{body}`", "m/s", ("own x", "own y")),
            Number(f"turning of `{body}`", "rad/s"),
        )
    ]


def _quadruped(model: Model) -> list[Number]:
    legs = hinges(model)
    return [*qpos(model, legs), *qvel(model, legs), *_actuators(model)]


def _actuators(model: Model) -> list[Number]:
    return [Number(f"state of the actuator `{model.actuator(i).name}`") for i in range(model.nu)]


def _toes(model: Model) -> list[Number]:
    names = [model.sensor(i).name for i in range(model.nsensor)]
    return sensors(model, [name for name in names if name.startswith(("force_", "torque_"))], "arsinh({})")


def _directions(*bodies: str) -> Part:
    return lambda model: [
        number for body in bodies for number in axes(f"the vertical in the frame of `{body}`", bound=1.0)
    ]


def _extremities(model: Model) -> list[Number]:
    return [number for limb in HANDS_AND_FEET for number in axes(f"{limb} in the torso's frame", "m")]


def _ball(frame: str, *parts: tuple[str, str]) -> Part:
    return lambda model: [number for what, unit in parts for number in axes(f"{what} in the {frame}'s frame", unit)]


#: (domain, name of the part), or ("", name) where all domains mean the same
DMC: dict[tuple[str, str], Part] = {
    ("", "velocity"): qvel,
    ("", "position"): qpos,
    ("", "joint_angles"): _after(7),
    ("", "extremities"): _extremities,
    ("", "head_height"): lambda model: [Number("height of the head", "m")],
    ("", "com_velocity"): _axes("velocity of the centre of mass", "m/s"),
    ("", "upright"): lambda model: [share("cosine of the tilt of `torso`")],
    ("", "arm_pos"): _sines,
    ("", "arm_vel"): lambda model: qvel(model, ARM),
    ("", "hand_pos"): _pose("hand"),
    ("acrobot", "orientations"): lambda model: [
        share(f"{ratio} of the tilt of `{arm}`") for ratio in ("sine", "cosine") for arm in ("upper_arm", "lower_arm")
    ],
    ("cartpole", "position"): _cartpole,
    ("cheetah", "position"): _after(1),
    ("dog", "joint_angles"): lambda model: qpos(model, hinges(model)),
    ("dog", "joint_velocites"): lambda model: qvel(model, hinges(model)),
    ("dog", "torso_pelvis_height"): lambda model: [Number(f"height of `{body}`", "m") for body in ("torso", "pelvis")],
    ("dog", "z_projection"): _directions("skull", "torso", "pelvis"),
    ("dog", "torso_com_velocity"): _axes("velocity of the centre of mass in the torso's frame", "m/s"),
    ("dog", "inertial_sensors"): lambda model: sensors(model, ("accelerometer", "velocimeter", "gyro")),
    ("dog", "foot_forces"): lambda model: sensors(model, ("foot_L", "foot_R", "hand_L", "hand_R")),
    ("dog", "touch_sensors"): lambda model: sensors(model, ("palm_L", "palm_R", "sole_L", "sole_R")),
    ("dog", "actuator_state"): _actuators,
    ("dog", "ball_state"): _ball("head", ("ball", "m"), ("velocity of the ball", "m/s")),
    ("dog", "target_position"): _axes("target in the head's frame", "m"),
    ("finger", "position"): lambda model: [
        *qpos(model, ("proximal", "distal")),
        *axes("tip of the body from its hinge", "m", "xz"),
    ],
    ("finger", "velocity"): lambda model: qvel(model, ("proximal", "distal", "hinge")),
    ("finger", "touch"): lambda model: sensors(model, ("touchtop", "touchbottom"), LOG),
    ("finger", "target_position"): _axes("target from the body's hinge", "m", "xz"),
    ("finger", "dist_to_target"): lambda model: [Number("distance from tip to target, less the target's radius", "m")],
    ("fish", "joint_angles"): lambda model: qpos(model, FISH),
    ("fish", "target"): _axes("target in the mouth's frame", "m"),
    ("hopper", "position"): _after(1),
    ("hopper", "touch"): lambda model: sensors(model, ("touch_toe", "touch_heel"), LOG),
    ("humanoid", "torso_vertical"): _directions("torso"),
    ("humanoid_CMU", "torso_vertical"): _directions("thorax"),
    ("manipulator", "touch"): lambda model: sensors(model, [f"{part}_touch" for part in HAND_PARTS], LOG),
    ("manipulator", "object_pos"): _held("pose"),
    ("manipulator", "object_vel"): _held("velocity"),
    ("manipulator", "target_pos"): _held("target"),
    ("pendulum", "orientation"): lambda model: [
        share(f"{ratio} of the tilt of `pole`") for ratio in ("cosine", "sine")
    ],
    ("quadruped", "egocentric_state"): _quadruped,
    ("quadruped", "torso_velocity"): _axes("velocity of the torso in its own frame", "m/s"),
    ("quadruped", "torso_upright"): lambda model: [share("cosine of the tilt of `torso`")],
    ("quadruped", "imu"): lambda model: sensors(model, ("imu_accel", "imu_gyro")),
    ("quadruped", "force_torque"): _toes,
    ("quadruped", "ball_state"): _ball(
        "torso", ("ball", "m"), ("velocity of the ball less the torso's", "m/s"), ("turning of the ball", "rad/s")
    ),
    ("quadruped", "target_position"): _axes("target in the torso's frame", "m"),
    ("reacher", "to_target"): _axes("`target` minus `finger`", "m", "xy"),
    ("stacker", "touch"): lambda model: sensors(model, [f"{part}_touch" for part in HAND_PARTS], LOG),
    ("stacker", "box_pos"): lambda model: _pose(*_boxes(model))(model),
    ("stacker", "box_vel"): lambda model: qvel(model, [f"{box}_{axis}" for box in _boxes(model) for axis in "xyz"]),
    ("stacker", "target_pos"): _axes("position of `target`", "m", "xz"),
    ("swimmer", "joints"): _after(3),
    ("swimmer", "to_target"): _axes("target from the nose in the head's frame", "m", "xy"),
    ("swimmer", "body_velocities"): _swimmer,
    ("walker", "orientations"): _walker,
    ("walker", "height"): lambda model: [Number("height of `torso`", "m")],
}

#: of each task of Meta-World, the thing and the order of its quaternion; none where Meta-World gives zeros
THINGS = {
    "reach-v3": ("puck", "xyzw"),
    "push-v3": ("puck", "xyzw"),
    "pick-place-v3": ("puck", "xyzw"),
    "door-open-v3": ("door's handle", "xyzw"),
    "drawer-open-v3": ("drawer's handle", "wxyz"),
    "drawer-close-v3": ("drawer's handle", ""),
    "button-press-topdown-v3": ("button", "wxyz"),
    "peg-insert-side-v3": ("peg's handle", "xyzw"),
    "window-open-v3": ("window's handle", ""),
    "window-close-v3": ("window's handle", ""),
}


def _metaworld(task: str) -> list[Number]:
    thing, order = THINGS[task]
    turned = axes(f"quaternion of the {thing}", names=order, bound=1.0) if order else [NOTHING] * 4
    now = [
        *axes("position of the hand", "m"),
        Number("opening of the gripper, 1 is 0.1 m", "", 0, 1),
        *axes(f"position of the {thing}", "m"),
        *turned,
        *[NOTHING] * 7,
    ]
    before = [Number(f"{number.what}, a step ago", number.unit, number.low, number.high) for number in now]
    return [*now, *before, *axes("position of the goal", "m")]
