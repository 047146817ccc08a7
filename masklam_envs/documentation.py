"""What there is to know of an environment, as Markdown: ``docs/environments.md`` and ``masklam envs NAME``.

Spaces, actions, bodies and numbers are read from the environment itself; only what no model tells, how it is rewarded
and when it ends, is written down here, from the source of Gymnasium's v5 environments with their default arguments.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any

import gymnasium as gym
import mujoco

from masklam_envs.distractors import distractor_names
from masklam_envs.env import MaskEnv
from masklam_envs.errors import unknown_name
from masklam_envs.masks.target import body_names, target_bodies
from masklam_envs.reference import reference_expert
from masklam_envs.registration import ENTRY_POINT
from masklam_envs.tasks import TASKS

FORWARD = "the speed forwards (+x, m/s)"
MISSING = "the base environment's; its documentation tells."


@dataclasses.dataclass(frozen=True)
class Words:
    """What is said of a base environment.

    :param goal: one sentence
    :param reward: of a step, with its weights
    :param ends: what terminates an episode before its time limit
    :param state: what the state is made of, in its order, where the base environment does not tell
    """

    goal: str
    reward: str
    ends: str
    state: str = ""


WORDS: dict[str, Words] = {
    "HalfCheetah-v5": Words(
        "A planar robot of nine limbs runs to the right.",
        f"{FORWARD} - 0.1 x the sum of squared actions.",
        "nothing.",
    ),
    "Hopper-v5": Words(
        "A planar leg hops to the right without falling.",
        f"1 for not having fallen + {FORWARD} - 0.001 x the sum of squared actions.",
        "the torso below 0.7 m or tilted by more than 0.2 rad, or another state beyond [-100, 100].",
    ),
    "Walker2d-v5": Words(
        "A planar pair of legs walks to the right without falling.",
        f"1 for not having fallen + {FORWARD} - 0.001 x the sum of squared actions.",
        "the torso outside [0.8, 2] m or tilted by more than 1 rad.",
    ),
    "Ant-v5": Words(
        "A body on four legs runs to the right.",
        f"1 for being upright + {FORWARD} - 0.5 x the sum of squared actions - 0.0005 x the sum of squared "
        "contact forces, each cut to [-1, 1].",
        "the torso outside [0.2, 1] m, or a state that is not finite.",
    ),
    "Humanoid-v5": Words(
        "A human figure runs to the right without falling.",
        f"5 for not having fallen + 1.25 x {FORWARD}, of the centre of mass - 0.1 x the sum of squared actions "
        "- 5e-7 x the sum of squared contact forces (at most 10).",
        "the torso outside [1, 2] m.",
    ),
    "HumanoidStandup-v5": Words(
        "A human figure that lies on its back stands up.",
        "the torso's height over the model's time step (z / 0.003 s) + 1 - 0.1 x the sum of squared actions - 5e-7 x "
        "the sum of squared contact forces (at most 10).",
        "nothing.",
    ),
    "Swimmer-v5": Words(
        "A chain of three links swims to the right in a viscous fluid.",
        f"{FORWARD} - 0.0001 x the sum of squared actions.",
        "nothing.",
    ),
    "Reacher-v5": Words(
        "A planar arm of two links brings its fingertip to a target, which is elsewhere in every episode.",
        "minus the distance from fingertip to target, metres - the sum of squared actions.",
        "nothing.",
        "cosines and sines of the 2 angles, the target's x and y, 2 qvel, x and y from target to fingertip",
    ),
    "Pusher-v5": Words(
        "An arm of seven joints pushes a puck to a goal on a table.",
        "minus the distance from puck to goal, metres - half the distance from fingertips to puck - 0.1 x the sum of "
        "squared actions.",
        "nothing.",
        "7 qpos and 7 qvel of the arm, positions of its tips, the puck and the goal",
    ),
    "InvertedPendulum-v5": Words(
        "A cart on a rail keeps a pole upright.",
        "1 while the pole is upright.",
        "the pole tilted by more than 0.2 rad.",
    ),
    "InvertedDoublePendulum-v5": Words(
        "A cart on a rail keeps two poles, one on the other, upright.",
        "10 while upright - (0.01 x^2 + (z - 2)^2) of the upper pole's tip, metres - (0.001 a^2 + 0.005 b^2) of the "
        "two angular velocities, rad/s.",
        "the upper pole's tip at 1 m or below.",
        "the cart's x, sines and cosines of the 2 angles, 3 qvel cut to [-10, 10], the force of the rail's end",
    ),
}


def is_described(env_id: str) -> bool:
    """Whether an id is one of this package's tasks, that is whether :func:`describe` knows it."""
    spec = gym.registry.get(env_id)
    return spec is not None and spec.entry_point == ENTRY_POINT and "base" in spec.kwargs


def describe(env_id: str) -> str:
    """The reference of one environment, as Markdown.

    :param env_id: a registered id of this package, e.g. ``"MaskAnt-v0"``
    :raises gymnasium.error.Error: when there is no such id
    :raises ValueError: when it is no id of this package
    :raises ImportError: when it needs an optional package that is not installed
    """
    spec = gym.spec(env_id)
    if not is_described(env_id):
        raise ValueError(unknown_name("environment of masklam_envs", env_id, TASKS))
    masked: Any = gym.make(env_id, observation=("pixels", "mask", "clean", "state")).unwrapped
    base = masked.base
    words = WORDS.get(base.spec.id, Words("", MISSING, MISSING))
    seconds = f"a step is {base.unwrapped.dt:.3g} s, " if hasattr(base.unwrapped, "dt") else ""
    parts = [
        f"## {env_id}",
        f"{words.goal} Base: `{base.spec.id}`; {seconds}an episode at most {spec.max_episode_steps} steps.".strip(),
        _observations(masked),
        _actions(masked),
        f"**Reward** of a step: {words.reward}",
        f"**Ends an episode** before its time limit: {words.ends}",
        f"**Camera**: {_camera(masked.view.config)}",
        f"**Mask**: {_mask(masked)}",
        f"**Reference policy**: {_reference(masked)}",
        _history(env_id),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def arguments() -> str:
    """The table of the keyword arguments that every environment takes."""
    texts = dict(_documented(inspect.getdoc(MaskEnv) or ""))
    rows = []
    for name, parameter in inspect.signature(MaskEnv).parameters.items():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            rows.append((f"`{name}`", f"`{parameter.default!r}`", texts[name]))
    return table(("argument", "default", "meaning"), rows)


def distractors() -> str:
    """The names that ``distractor`` takes, in one line."""
    return ", ".join(f"`{name}`" for name in distractor_names())


def summary() -> str:
    """One line per task: what it is and how large its spaces are."""
    rows = []
    for task in TASKS.values():
        space: Any = gym.make(task.id).action_space
        link = f"[`{task.id}`](#{task.id.lower()})"
        rows.append((link, f"`{task.base}`", str(space.shape[0]), WORDS[task.base].goal))
    return table(("id", "base", "actions", "what"), rows)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    names = list(head)
    lines = [names, ["---"] * len(names), *(list(row) for row in rows)]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _documented(text: str) -> list[tuple[str, str]]:
    """Names and texts of the ``:param name: text`` lines of a docstring."""
    found = re.findall(r":param (\w+): (.*?)(?=\n:|\Z)", text, flags=re.DOTALL)
    return [(name, re.sub(r"\s+", " ", re.sub(r":\w+:`", "`", words.replace("``", "`")))) for name, words in found]


def _observations(masked: Any) -> str:
    what = {
        "pixels": "RGB under the distractor",
        "mask": "255 where the agent (or `mask_target`) is seen",
        "clean": "the same step without distractor, on request",
        "state": f"the base environment's observation, on request: {_state(masked.base)}",
    }
    rows = [(f"`{key}`", f"`{masked.observation_space[key]}`", text) for key, text in what.items()]
    return table(("observation", "space", "what"), rows)


def _state(base: Any) -> str:
    """What the base's observation is made of, in its order."""
    if base.spec.id in WORDS and WORDS[base.spec.id].state:
        return WORDS[base.spec.id].state
    structure: Mapping[str, int] = getattr(base.unwrapped, "observation_structure", {})
    parts = [f"{count} {name}" for name, count in structure.items() if name != "skipped_qpos" and count]
    skipped = structure.get("skipped_qpos", 0)
    without = f" (without the first {skipped} of qpos)" if skipped else ""
    return (", ".join(parts) or f"{base.observation_space.shape[0]} numbers") + without


def _actions(masked: Any) -> str:
    model, space = masked.view.model, masked.action_space
    rows = []
    for i in range(space.shape[0]):
        name, unit = _actuator(model, i) if space.shape[0] == model.nu else ("", "")
        rows.append((str(i), name, f"{space.low[i]:g}", f"{space.high[i]:g}", unit))
    return table(("action", "joint", "min", "max", "unit"), rows)


def _actuator(model: mujoco.MjModel, i: int) -> tuple[str, str]:
    """What an actuator moves, and what one unit of its action is."""
    if model.actuator_trntype[i] != mujoco.mjtTrn.mjTRN_JOINT:
        return f"`{model.actuator(i).name}`", "control signal"
    joint = int(model.actuator_trnid[i, 0])
    is_motor = model.actuator_biastype[i] == mujoco.mjtBias.mjBIAS_NONE
    hinge = model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_HINGE
    gear = f"{model.actuator_gear[i, 0] * model.actuator_gainprm[i, 0]:g}"
    unit = f"torque, {gear} N m" if hinge else f"force, {gear} N"
    return f"`{model.joint(joint).name}`", unit if is_motor else "control signal"


def _camera(config: Any) -> str:
    if isinstance(config.camera, Mapping):
        seen = ", ".join(f"`{name}` {value}" for name, value in config.camera.items() if value is not None)
        text = f"{seen}; it {'follows that tree of bodies' if config.camera.get('track') else 'stands still'}"
    else:
        text = f"`{config.camera}` of the model" if config.camera is not None else "the model's own"
    if any(config.camera_offset):
        right, up = config.camera_offset
        text += f", moved by {right:g} m to its right and {up:g} m up"
    return text + (f"; `zoom` {config.zoom:g}." if config.zoom != 1 else ".")


def _mask(masked: Any) -> str:
    model, config = masked.view.model, masked.view.config
    agent = target_bodies(model, "agent", config.agent_bodies, config.object_bodies)
    text = f"the agent is {_bodies(model, agent)}."
    try:
        objects = target_bodies(model, "object", config.agent_bodies, config.object_bodies)
    except ValueError:
        return f'{text} There is no object: `mask_target="object"` is refused.'
    return f'{text} `mask_target="object"` shows {_bodies(model, objects)}, `"foreground"` both.'


def _bodies(model: mujoco.MjModel, bodies: list[int]) -> str:
    """So many bodies by name, of many only the first and their number."""
    names = [f"`{name}`" for name in body_names(model, bodies)]
    if len(bodies) > 4:
        return f"{len(bodies)} bodies from {names[0]} on"
    return ", ".join(names)


def _reference(masked: Any) -> str:
    expert = reference_expert(masked.base)
    if expert is None:
        return "uniform random actions."
    info = expert.info
    return (
        f"the shipped expert ({info.algorithm}, return {info.return_mean:.0f} +- {info.return_std:.0f} without noise) "
        f"with Gaussian action noise of standard deviation {info.reference_noise:g}."
    )


def _history(env_id: str) -> str:
    version = env_id.rpartition("-v")[2]
    return f"**Version history**: v{version}, since 0.1." if version == "0" else ""
