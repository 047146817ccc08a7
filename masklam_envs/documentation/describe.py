"""One environment, its arguments and the list of all, as Markdown."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np

from masklam_envs.distractors import distractor_names
from masklam_envs.documentation.dmc_words import DMC_WORDS
from masklam_envs.documentation.gymnasium_words import WORDS
from masklam_envs.documentation.markdown import table
from masklam_envs.documentation.metaworld_words import METAWORLD_WORDS
from masklam_envs.documentation.numbers import qpos
from masklam_envs.documentation.states import state_numbers
from masklam_envs.documentation.words import MISSING, Words
from masklam_envs.env import MaskEnv
from masklam_envs.errors import unknown_name
from masklam_envs.masks.target import body_names, target_bodies
from masklam_envs.reference import reference_expert
from masklam_envs.registration import ENTRY_POINT
from masklam_envs.tasks import TASKS

#: headings of every environment's reference, in this order
SECTIONS = (
    "Observation space",
    "State",
    "Action space",
    "Rewards",
    "Starting state",
    "Episode end",
    "Camera and mask",
    "Reference policy",
    "Arguments",
    "Version history",
)
#: what a base environment takes that is of no use here: frames are not its own
_UNUSED = {"self", "default_camera_config", "kwargs"}
_BOUNDS = "Min and max always hold; from a joint's limits MuJoCo pushes back, and a little more may be seen."


def is_described(env_id: str) -> bool:
    """Whether an id is one of this package's tasks, that is whether :func:`describe` knows it."""
    spec = gym.registry.get(env_id)
    return spec is not None and spec.entry_point == ENTRY_POINT and "base" in spec.kwargs


def describe(env_id: str, *, fold: int | None = None) -> str:
    """The reference of one environment, as Markdown: a heading, what it is, and a section for each of ``SECTIONS``.

    :param env_id: a registered id of this package, e.g. ``"MaskAnt-v0"``
    :param fold: put a state's table of more rows than that behind a line that opens it (HTML's ``details``)
    :raises gymnasium.error.Error: when there is no such id
    :raises ValueError: when it is no id of this package
    :raises ImportError: when it needs an optional package that is not installed
    """
    spec = gym.spec(env_id)
    if not is_described(env_id):
        raise ValueError(unknown_name("environment of masklam_envs", env_id, TASKS))
    masked: Any = gym.make(env_id, observation=("pixels", "mask", "clean", "state")).unwrapped
    base = masked.base
    words = words_of(base.spec.id)
    seconds = f"a step is {_seconds(base):.3g} s, " if _seconds(base) else ""
    texts = (
        _observations(masked),
        _state(base, fold),
        _actions(masked),
        f"Of a step: {words.reward}",
        _start(base, words.start),
        f"Terminated by {words.ends} Truncated after {spec.max_episode_steps} steps.",
        f"Camera: {_camera(masked.view.config)}\n\nMask: {_mask(masked)}",
        _reference(masked),
        _base_arguments(base),
        _history(env_id),
    )
    about = f"{words.goal} Base: `{base.spec.id}`; {seconds}an episode at most {spec.max_episode_steps} steps.".strip()
    parts = [f"## {env_id}", about]
    parts += [f"### {name}\n\n{text}" for name, text in zip(SECTIONS, texts, strict=True)]
    return "\n\n".join(parts) + "\n"


def words_of(base_id: str) -> Words:
    """What is said of a base, e.g. ``"Ant-v5"`` or ``"DMC/cheetah-run-v0"``; of a foreign one next to nothing."""
    suite, _, name = base_id.rpartition("/")
    known = {"DMC": DMC_WORDS, "MetaWorld": METAWORLD_WORDS}.get(suite, WORDS)
    return known.get(name.removesuffix("-v0"), Words("", MISSING, MISSING))


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


def _documented(text: str) -> list[tuple[str, str]]:
    """Names and texts of the ``:param name: text`` lines of a docstring."""
    found = re.findall(r":param (\w+): (.*?)(?=\n:|\Z)", text, flags=re.DOTALL)
    return [(name, re.sub(r"\s+", " ", re.sub(r":\w+:`", "`", words.replace("``", "`")))) for name, words in found]


def _seconds(base: gym.Env[Any, Any]) -> float:
    """Length of a step, 0 where the base does not tell."""
    return float(getattr(base.unwrapped, "dt", 0) or 0)


def _observations(masked: Any) -> str:
    what = {
        "pixels": "RGB under the distractor",
        "mask": "255 where the agent (or `mask_target`) is seen, else 0",
        "clean": "RGB of the same step without distractor, on request",
        "state": "the base environment's observation, on request; next table",
    }
    rows = [(f"`{key}`", f"`{masked.observation_space[key]}`", text) for key, text in what.items()]
    return table(("observation", "space", "what"), rows)


def _state(base: gym.Env[Any, Any], fold: int | None) -> str:
    """The table of the state, number by number."""
    rows = []
    for i, number in enumerate(state_numbers(base)):
        limits = f"[{number.limits[0]:.3g}, {number.limits[1]:.3g}]" if number.limits else ""
        rows.append((str(i), number.what, f"{number.low:.4g}", f"{number.high:.4g}", limits, number.unit))
    text = table(("index", "what", "min", "max", "joint's limits", "unit"), rows)
    if fold is not None and len(rows) > fold:
        text = f"<details><summary>{len(rows)} numbers</summary>\n\n{text}\n\n</details>"
    return f"{_BOUNDS}\n\n{text}"


def _start(base: gym.Env[Any, Any], words: str) -> str:
    if "{pose}" not in words:
        return words
    unwrapped: Any = base.unwrapped
    return words.format(pose=_pose(unwrapped.model, unwrapped.init_qpos), noise=f"{unwrapped._reset_noise_scale:g}")


def _pose(model: mujoco.MjModel, positions: Any) -> str:
    """A position vector in words: what is not 0."""
    given = zip(qpos(model), np.asarray(positions).tolist(), strict=True)
    parts = [f"{number.what} {value:.4g} {number.unit}".strip() for number, value in given if value]
    return ", ".join([*parts, "the rest 0"]) if parts else "all 0"


def _base_arguments(base: gym.Env[Any, Any]) -> str:
    """What `base_kwargs` may hold beside what every environment takes."""
    every = "Those of every environment (`MaskEnv`)"
    parameters = inspect.signature(type(base.unwrapped).__init__).parameters.values()
    fixed = {*_UNUSED, *(base.spec.kwargs if base.spec else {})}
    rows = [(f"`{each.name}`", f"`{each.default!r}`") for each in parameters if each.name not in fixed]
    if not rows:
        return f"{every}."
    text = "in `base_kwargs` those of the base environment, whose documentation has their meaning"
    return f"{every}; {text}:\n\n{table(('argument', 'default'), rows)}"


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
        return "Uniform random actions."
    info = expert.info
    return (
        f"The shipped expert ({info.algorithm}, return {info.return_mean:.0f} +- {info.return_std:.0f} without noise) "
        f"with Gaussian action noise of standard deviation {info.reference_noise:g}."
    )


def _history(env_id: str) -> str:
    version = env_id.rpartition("-v")[2]
    return (
        f"v{version}: since masklam 0.1." if version == "0" else f"v{version}, Meta-World's number: since masklam 0.1."
    )
