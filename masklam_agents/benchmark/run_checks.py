"""What can be told of planned runs before any begins: whether their views and the options of their agents are possible.

Nothing is drawn, recorded or trained: a distractor is made for the task's model, an agent without its networks.  All
runs of a suite take a second or two.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from masklam_agents.benchmark.plan import Run
from masklam_agents.benchmark.suite import SuiteError
from masklam_agents.common.configuration import check_names
from masklam_agents.methods import get_method

#: what an agent tells its model
SHOWN = ("image_size", "frame_stack", "latent_dim")


def check_runs(runs: Iterable[Run]) -> None:
    """See that every task shows masks, and that views and options of all runs are possible.

    Options of a plugin's own algorithm are left to its constructor: only a run can tell.

    :raises SuiteError: naming task and distractor, or the method, what was given and what is allowed
    """
    from masklam_agents.benchmark.shared import view_options

    tasks: dict[str, Any] = {}
    views: dict[str, tuple[str, str, dict[str, Any]]] = {}
    agents: dict[str, Run] = {}
    for run in runs:
        config, plan = run.config, run.config["evaluation"]
        for view in (view_options(run, "train"), view_options(run, plan["split"], plan["distractor"])):
            views.setdefault(json.dumps([config["task"], view], sort_keys=True), (config["task"], run.label, view))
        own = {name: value for name, value in config["options"].items() if name != "seed"}
        agents.setdefault(json.dumps([config["algorithm"], own], sort_keys=True), run)
    for task, label, view in views.values():
        seen = tasks[task] = tasks[task] if task in tasks else _view_of(task)
        try:
            _check_view(seen, view)
        except (TypeError, ValueError) as error:
            raise SuiteError(f"{label}: {error}") from error
    for run in agents.values():
        try:
            _check_agent(run)
        except (TypeError, ValueError) as error:
            raise SuiteError(f"method {run.config['method']!r}: {error}") from error


def _view_of(task: str) -> Any:
    """The view of a task."""
    import gymnasium as gym

    from masklam_envs.env import MaskEnv
    from masklam_envs.suites.catalog import suite_ids
    from masklam_envs.tasks import TASKS

    env = gym.make(task)
    env.close()
    if isinstance(env.unwrapped, MaskEnv):
        return env.unwrapped.view
    bases = [(row.id, row.base) for row in TASKS.values()] + [(row.id, row.base) for row in suite_ids()]
    same = [name for name, base in bases if base == task]
    cure = f"take {same[0]!r}, which has its physics" if same else "`masklam envs` lists those that do"
    raise SuiteError(f"task {task!r} shows no masks: {cure}")


def _check_view(seen: Any, options: Mapping[str, Any]) -> None:
    """See that a task can be seen so; the statistics of velocities, which take seconds to find, are made up."""
    from masklam_envs.distractors import make_distractor
    from masklam_envs.distractors.reference import Whitening
    from masklam_envs.view import ViewConfig

    config, facts = ViewConfig(**options), seen.facts
    if facts.velocities is not None:
        made_up = Whitening(np.zeros(facts.nv), np.eye(facts.nv))
        facts = dataclasses.replace(facts, velocities=lambda lag: made_up)
    make_distractor(
        config.distractor,
        split=config.split,
        correlation=config.correlation,
        action_reference=seen.reference,
        image_size=config.image_size,
        scene=facts,
    )


def _check_agent(run: Run) -> None:
    """See that a method takes the run's options, and that its networks and model take theirs."""
    from masklam_agents.common.external import ExternalLAM

    row = get_method(run.config["method"])
    if not row.algorithm.startswith("masklam_agents"):
        return
    agent = row.load_class()("MultiInputPolicy", None, None, **run.config["options"])
    _check_networks(agent)
    if isinstance(agent, ExternalLAM):
        _check_model(agent.config["lam"], agent.config["lam_kwargs"])


def _check_networks(agent: Any) -> None:
    """What an agent is asked for its networks and for the bottleneck of its latents."""
    from masklam_agents.common.networks import get_network
    from masklam_agents.common.quantize import make_quantizer

    config = agent.config
    get_network(config["network"])
    make_quantizer(config.get("bottleneck", "none"), config.get("latent_dim", 1), config.get("bottleneck_options", {}))


def _check_model(name: str, options: dict[str, Any]) -> None:
    """A latent action model that is not ours; one with ``**kwargs`` takes every name."""
    from masklam_agents.common.external import lam_class

    signature = inspect.signature(lam_class(name))
    if all(each.kind is not each.VAR_KEYWORD for each in signature.parameters.values()):
        check_names("lam_kwargs", options, signature.parameters.keys() - {*SHOWN})
    signature.bind(**dict.fromkeys(SHOWN), **options)
