"""From a suite to its runs: each a plain configuration, and what of it each stage depends on.

A run's configuration holds everything that its numbers depend on, and names its folder by its hash.  What two runs
share is found the same way: an agent, or its first stages, is kept under the hash of what that part depends on.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from masklam_agents.benchmark.ours import of_others
from masklam_agents.benchmark.plugin_code import code_of
from masklam_agents.benchmark.results import hash_config
from masklam_agents.benchmark.suite import VARIABLES, Suite, SuiteError
from masklam_agents.benchmark.suite_checks import check_method
from masklam_agents.benchmark.tuned import Tuned
from masklam_agents.common.configuration import whole_signature
from masklam_agents.common.schedules import RATES
from masklam_agents.methods import BC, IDM, LAOM, LAPO, RANDOM, Method, get_method
from masklam_envs.errors import unknown_name

#: classes that read no masks unless an option says so
WITHOUT_MASKS = (LAPO, LAOM, IDM, BC, RANDOM)
#: options of all methods that a suite has keys for
TRAINING_OPTIONS = ("network", "batch_size", "labels", "latent_dim")
#: options that only the last stage reads, where the stages before it use no labels
LAST_STAGE_OPTIONS = ("labels", "decoder_learning_rate", "stage_shares")


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of a suite.

    :param config: plain JSON: ``suite``, ``suite_version``, ``method``, ``task``, ``distractor``, ``seed`` and
        ``variables`` name its place; ``algorithm``, ``options``, ``samples``, ``view``, ``data``, ``evaluation``,
        ``tuning`` and ``plugins`` are what is done; a run that needs plugins has ``plugins_for``, which is what of
        ``"method"``, ``"task"`` and ``"view"`` is theirs, and ``plugin_code`` too
    """

    config: dict[str, Any]

    @property
    def hash(self) -> str:
        """Names the run's folder: 16 hexadecimal digits."""
        return hash_config(self.config)

    @property
    def scores_key(self) -> str:
        """Of all that its scores depend on: twins, see :mod:`masklam_agents.benchmark.twins`, share it."""
        return scores_key(self.config)

    @property
    def agent_key(self) -> str:
        """Of the trained agent: runs that differ in how it is measured alone share it."""
        return hash_config(self._trained())

    @property
    def stages_key(self) -> str | None:
        """Of the stages before the last one, where those see no labels: runs of all label budgets share them."""
        config = self.config
        if not config["labels_last"]:
            return None
        options = {key: value for key, value in config["options"].items() if key not in LAST_STAGE_OPTIONS}
        samples = {stage: count for stage, count in config["samples"].items() if stage != "decode"}
        return hash_config({**self._trained(), "options": options, "samples": samples})

    @property
    def frames_key(self) -> str:
        """Of the drawn frames: methods share them."""
        config = self.config
        drawn = {key: config[key] for key in ("task", "seed", "data", "view")}
        return hash_config(drawn | self.code_behind("task", "view"))

    def code_behind(self, *parts: str) -> dict[str, Any]:
        """The code of plugins, as a part of what something depends on; empty where no plugin has to do with it.

        :param parts: it depends on: of ``"method"``, ``"task"`` and ``"view"``
        """
        others = set(parts) & set(self.config.get("plugins_for", ()))
        return {"plugin_code": self.config["plugin_code"]} if others else {}

    def _trained(self) -> dict[str, Any]:
        """What a trained agent depends on."""
        names = ("algorithm", "options", "samples", "view", "data", "task", "seed", "plugins")
        return {name: self.config[name] for name in names} | self.code_behind("method", "task", "view")

    @property
    def agent_keys(self) -> set[str]:
        """Of the agents that it trains or waits for."""
        return {key for key in (self.agent_key, self.stages_key) if key is not None}

    @property
    def shared_keys(self) -> set[str]:
        """Of all that other runs may share."""
        return self.agent_keys | {self.frames_key}

    @property
    def label(self) -> str:
        """For people: method, task, distractor, variables, seed."""
        config = self.config
        variables = [f"{name}={value}" for name, value in config["variables"].items()]
        return " ".join([config["method"], config["task"], config["distractor"], *variables, f"seed {config['seed']}"])


def scores_key(config: Mapping[str, Any]) -> str:
    """Of a run's configuration all but the distractor's name: what is seen is in ``view`` and ``evaluation``."""
    return hash_config({name: value for name, value in config.items() if name != "distractor"})


@dataclasses.dataclass(frozen=True)
class Chosen:
    """What of a suite is to run; an empty tuple is everything.

    :param methods: names; also registered ones that the suite does not list
    :param tasks: ids of the suite
    :param distractors: names of the suite
    :param seeds: how many; None: the suite's number
    :param runs: hashes, or beginnings of them
    """

    methods: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    distractors: tuple[str, ...] = ()
    seeds: int | None = None
    runs: tuple[str, ...] = ()


def make_runs(
    suite: Suite, chosen: Chosen | None = None, tuned: Tuned | None = None, plugins: Sequence[str] = ()
) -> list[Run]:
    """The runs of a suite, those that share data and frames next to each other.

    :param chosen: a part of it
    :param tuned: hyperparameters that were chosen for it
    :param plugins: modules that register methods, tasks or distractors
    :raises SuiteError: for a name that the suite does not have
    """
    chosen = chosen or Chosen()
    methods = chosen.methods or suite.methods
    _check_options(suite, methods)
    tasks = _some("task", chosen.tasks, suite.tasks)
    distractors = _some("distractor", chosen.distractors, tuple(suite.distractors))
    seeds = range(suite.seeds if chosen.seeds is None else chosen.seeds)
    places = itertools.product(seeds, tasks, distractors, settings_of(suite), methods)
    runs = (
        make_run(suite, method, task, distractor, seed, settings, tuned, plugins)
        for seed, task, distractor, settings, method in places
    )
    return _by_hash(list({run.hash: run for run in runs}.values()), chosen.runs)  # a name may be given twice


def make_run(
    suite: Suite,
    method: str,
    task: str,
    distractor: str,
    seed: int,
    settings: Mapping[str, tuple[Any, Any]] | None = None,
    tuned: Tuned | None = None,
    plugins: Sequence[str] = (),
) -> Run:
    """One run.

    :param settings: by variable: the value that results name, and what it stands for
    """
    plain, row, settings = suite.to_json(), get_method(method), settings or {}
    parts = _parts(suite, plain, row, distractor, settings)
    stages = list(row.load_class().stages)
    samples = _samples(parts["training"]["samples"], stages, method)
    found = {} if tuned is None else tuned.of(method)
    found = {name: value for name, value in found.items() if name not in settings}
    options = _options(row, parts["training"], stages, suite.method_options.get(method, {}), found, seed)
    if not _reads_masks(row, options):
        parts["view"] |= _without_masks(parts["view"])
    config = {
        "suite": suite.name,
        "suite_version": suite.version,
        "method": method,
        "task": task,
        "distractor": distractor,
        "seed": seed,
        "variables": {variable: name for variable, (name, _) in settings.items()},
        "algorithm": row.algorithm,
        "options": options,
        "samples": samples,
        "labels_last": stages[-1:] == ["decode"] and not options.get("label_weight"),
        "view": parts["view"],
        "data": plain["data"],
        "evaluation": parts["evaluation"],
        "tuning": _tuning(tuned, method),
    }
    return Run(config | _plugins(config, plugins))


def _parts(
    suite: Suite, plain: Mapping[str, Any], row: Method, distractor: str, settings: Mapping[str, tuple[Any, Any]]
) -> dict[str, dict[str, Any]]:
    """What the suite says of training, evaluation and view, at these values of what it varies."""
    parts: dict[str, dict[str, Any]] = {
        "training": dict(plain["training"]),
        "evaluation": {**plain["evaluation"]},
        "view": {
            "distractor": plain["distractors"][distractor],
            "correlation": None,
            "image_size": suite.training.image_size,
            "mask_source": "simulator",
            "mask_faults": None,
        },
    }
    for variable, (_, setting) in settings.items():
        section, key = VARIABLES[variable]
        parts[section][key] = setting
    if row.scene:
        parts["view"] |= {"distractor": row.scene, "correlation": None}
        parts["evaluation"]["distractor"] = None
    if row.mask_target:  # what its training masks show; only then, so that other runs keep their hash
        parts["view"]["mask_target"] = row.mask_target
    return parts


def _plugins(config: Mapping[str, Any], plugins: Sequence[str]) -> dict[str, Any]:
    """Of a configuration what says which plugins it needs: those that change nothing shall not train it again."""
    view, measured = config["view"], config["evaluation"]
    others = of_others(
        config["method"], config["task"], view["distractor"], measured["distractor"], view["mask_source"]
    )
    if not others:
        return {"plugins": []}
    return {"plugins": list(plugins), "plugins_for": others, "plugin_code": code_of(tuple(plugins))}


def accepted_options(cls: type) -> set[str]:
    """Keyword arguments of a method's class: its constructor's, and its bases' as far as it passes them on."""
    return {*whole_signature(cls).parameters} - {"policy", "env", "dataset"}


def _options(
    row: Method, training: dict[str, Any], stages: list[str], own: dict[str, Any], found: dict[str, Any], seed: int
) -> dict[str, Any]:
    """Keyword arguments: the method's own, what the suite gives all, what was chosen for this one."""
    rates = {RATES[stage]: rate for stage, rate in training["learning_rate"].items()}
    common = {name: training[name] for name in TRAINING_OPTIONS}
    if row.all_labels:
        del common["labels"]
    accepted = accepted_options(row.load_class())
    shared = {**rates, **common, **training["options"]}
    options = {**row.options, **{name: value for name, value in shared.items() if name in accepted}}
    for name, value in found.items():
        key = main_rate(stages) if name == "learning_rate" else name
        options |= {key: value} if key in accepted else {}
    options |= own
    if unknown := options.keys() - accepted:
        raise SuiteError(unknown_name(f"option of {row.algorithm}", min(unknown), accepted))
    if "stage_shares" in accepted:
        options["stage_shares"] = [float(training["samples"][stage]) for stage in stages]
    return {**options, "seed": seed}


def main_rate(stages: Iterable[str]) -> str:
    """The option that a grid's ``learning_rate`` is of: the latents' stage, or the first where there is none."""
    names = list(stages)
    return RATES["pretrain" if "pretrain" in names else names[0]]


def _check_options(suite: Suite, methods: Sequence[str]) -> None:
    """An option that no method takes is a typing mistake."""
    every = dict.fromkeys([*suite.methods, *methods])
    for method in every:
        check_method(method)
    known = set().union(*(accepted_options(get_method(method).load_class()) for method in every))
    if unknown := suite.training.options.keys() - known:
        raise SuiteError(unknown_name("option of training.options", min(unknown), known))
    _check_said_once(suite)


def _check_said_once(suite: Suite) -> None:
    """Whatever a suite has a key for is given there: what it stands for in `options` would silently come first."""
    keys = {name: f"training.{name}" for name in TRAINING_OPTIONS}
    keys |= {rate: f"training.learning_rate.{stage}" for stage, rate in RATES.items()}
    keys |= {"stage_shares": "training.samples", "seed": "seeds"}
    if twice := sorted(suite.training.options.keys() & keys):
        raise SuiteError(f"training.options.{twice[0]} has a key of its own: give it as {keys[twice[0]]}")
    fixed = {name: f"that is {key}" for name, key in keys.items() if name in ("stage_shares", "seed")}
    fixed |= {name: f"the suite varies {name}" for name in suite.vary}
    for method, options in suite.method_options.items():
        if twice := sorted(options.keys() & fixed):
            raise SuiteError(f"method_options.{method}.{twice[0]} cannot be: {fixed[twice[0]]}; leave it out")


def _reads_masks(row: Method, options: Mapping[str, Any]) -> bool:
    """Whether a method learns from masks; one of a plugin is taken to."""
    reads = options.get("mask_channel") or options.get("mask_input") or options.get("loss", "plain") != "plain"
    return bool(reads) or row.algorithm not in WITHOUT_MASKS


def _without_masks(view: dict[str, Any]) -> dict[str, Any]:
    """Of a view what a method sees that reads no masks: its agent is trained once for all of their sources and faults.

    Occlusion is in the pixels too.
    """
    faults = view["mask_faults"] if isinstance(view["mask_faults"], list) else [view["mask_faults"]]
    names = {fault.get("name") if isinstance(fault, dict) else fault for fault in faults}
    return {"mask_source": "simulator", "mask_faults": view["mask_faults"] if "occlusion" in names else None}


def _samples(samples: dict[str, int], stages: list[str], method: str) -> dict[str, int]:
    if lacking := [stage for stage in stages if stage not in samples]:
        raise SuiteError(
            f"method {method!r} has the stage {lacking[0]!r}, for which training.samples names no number: add it"
        )
    return {stage: samples[stage] for stage in stages}


def settings_of(suite: Suite) -> Iterator[dict[str, tuple[Any, Any]]]:
    """Every combination of what the suite varies: by variable the value that results name, and what it stands for."""
    choices = []
    for variable, values in suite.vary.items():
        pairs = values.items() if isinstance(values, dict) else [(value, value) for value in values]
        choices.append([(variable, pair) for pair in pairs])
    for combination in itertools.product(*choices):
        yield dict(combination)


def _tuning(tuned: Tuned | None, method: str) -> dict[str, Any]:
    if tuned is None or method not in tuned.chosen:
        return {"grid": {}, "trials": 0, "chosen_by": "not tuned: the suite's settings for all methods"}
    grid = {name: list(values) for name, values in tuned.grid.items()}
    return {"grid": grid, "trials": tuned.trials[method], "chosen_by": tuned.chosen_by}


def _some(kind: str, wanted: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    for name in wanted:
        if name not in known:
            raise SuiteError(unknown_name(f"{kind} of this suite", name, known))
    return wanted or known


def _by_hash(runs: list[Run], wanted: Iterable[str]) -> list[Run]:
    wanted = tuple(wanted)
    if not wanted:
        return runs
    for start in wanted:
        if not any(run.hash.startswith(start) for run in runs):
            raise SuiteError(f"no run of this suite has a hash that begins with {start!r}")
    return [run for run in runs if run.hash.startswith(wanted)]
