"""One run: train or go on, measure, draw, write the result.  What every launcher calls, in whatever process."""

from __future__ import annotations

import dataclasses
import gc
import os
import shutil
import time
import traceback
import warnings
from pathlib import Path
from typing import Any, Literal

from masklam_agents.benchmark.files import BusyError, disk_is_full, locked, write_json, write_text
from masklam_agents.benchmark.plan import Run
from masklam_agents.benchmark.plugin_code import code_of
from masklam_agents.benchmark.provenance import commit, installed_versions, machine
from masklam_agents.benchmark.result_files import FILE, ResultError, read_result, write_result
from masklam_agents.benchmark.results import Evaluation, Result, Training, Tuning
from masklam_agents.benchmark.stop import Stop, StoppedError
from masklam_agents.benchmark.twins import PICTURES, copy_beside, finished_twin, result_for
from masklam_agents.plugins import load_plugins

#: beside a result, why pictures are missing
NO_PICTURES = "no_pictures.txt"
#: beside a result, where it was asked for
AGENT = "agent.safetensors"
Status = Literal["ok", "failed", "busy", "stopped", "full", "died"]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended.

    :param status: ``"ok"``, ``"failed"``; ``"busy"``: another runner has it; ``"stopped"``: saved, not finished;
        ``"full"``: no room on the disk, what was done before is kept; ``"died"``: its process ended
    :param error: type and message of the exception, or what was told
    :param warning: what a run with scores lacks
    """

    status: Status
    error: str = ""
    warning: str = ""


@dataclasses.dataclass(frozen=True)
class Options:
    """What a run does not depend on.

    :param out: folder of the benchmark
    :param shared: folder of what runs share
    :param keep_agents: copy the agent into the run's folder
    :param retry: run again what failed
    :param pictures: draw those of seed 0
    :param save_every: seconds between saves of an agent in training
    :param command: of the whole suite; results say how to repeat their run by it
    :param plugin_folder: where modules of plugins may lie, too; empty: the working directory
    :param distractors: names of the suite's: a run that differs from a finished one in this name alone has its scores
    """

    out: str
    shared: str
    keep_agents: bool = False
    retry: bool = False
    pictures: bool = True
    save_every: float = 30.0
    command: str = ""
    plugin_folder: str = ""
    distractors: tuple[str, ...] = ()


def run_folder(out: str | os.PathLike[str], run: Run) -> Path:
    """Where a run lies."""
    return Path(out) / "runs" / run.hash


def finished(out: str | os.PathLike[str], run: Run) -> Result | None:
    """The run's result, None while there is none.

    :raises ResultError: when it is damaged
    """
    folder = run_folder(out, run)
    return read_result(folder) if (folder / FILE).exists() else None


def execute(run: Run, options: Options, stop: Stop | None = None) -> Outcome:
    """Do one run, unless it is done or somebody else does it; what goes wrong is recorded and no exception."""
    folder = run_folder(options.out, run)
    try:
        with locked(folder / "lock", wait=False):
            before = finished(options.out, run)
            if before is not None and not (options.retry and before.status == "failed"):
                return Outcome(before.status, in_a_line(before.error))
            if _took_over(run, folder, options):
                return Outcome("ok")
            return _attempt(run, folder, options, stop or Stop())
    except BusyError as error:
        return Outcome("busy", str(error))
    except (OSError, ResultError) as error:  # of the run's folder: nothing can be recorded there
        return Outcome("full" if disk_is_full(error) else "failed", str(error))


def _took_over(run: Run, folder: Path, options: Options) -> bool:
    """Whether a twin of the run is done, whose result and pictures it has now, too."""
    wanted = [AGENT] if options.keep_agents else []
    twin = finished_twin(run, folder.parent, options.distractors, wanted)
    if twin is None:
        return False
    _write_config(run, folder, options)
    copy_beside(twin, folder, [*wanted, *(PICTURES if options.pictures else ()), NO_PICTURES])
    write_result(folder, result_for(run, read_result(twin)))
    return True


def _write_config(run: Run, folder: Path, options: Options) -> None:
    write_json(folder / "config.json", {"command": command_of(run, options.command), "config": run.config})


def _attempt(run: Run, folder: Path, options: Options, stop: Stop) -> Outcome:
    _write_config(run, folder, options)
    began, began_cpu = time.monotonic(), time.process_time()
    commit()  # that of the code which is being loaded
    try:
        load_plugins(run.config["plugins"], options.plugin_folder)
        _check_code(run)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # those of useless masks; the scores say so
            result, warning = _result_of(run, folder, options, stop)
    except StoppedError:
        return Outcome("stopped")
    except Exception as error:  # whatever a method does wrong is that run's failure and no other's
        if disk_is_full(error):
            return Outcome("full", str(error))
        spent = time.monotonic() - began, time.process_time() - began_cpu
        told = traceback.format_exc()
        write_result(folder, failure(run, told, spent, options.command))
        return Outcome("failed", in_a_line(told))
    write_result(folder, result)
    return Outcome("ok", warning=warning)


def _check_code(run: Run) -> None:
    """See that the plugins here are those that the run was planned with: a worker may begin hours later."""
    planned = run.config.get("plugin_code", {})
    here = code_of(tuple(run.config["plugins"])) if planned else {}
    if planned != here:
        changed = sorted(name for name in {*planned, *here} if planned.get(name) != here.get(name))
        raise RuntimeError(
            f"the code of {', '.join(changed)} has changed since this run was planned: give the same command again"
        )


def _result_of(run: Run, folder: Path, options: Options, stop: Stop) -> tuple[Result, str]:
    import torch as th

    from masklam_agents.benchmark.shared import Shared

    th.set_num_threads(1)
    shared = Shared(Path(options.shared), stop, options.save_every)
    try:
        with shared.in_use(run):
            return _trained_and_measured(run, folder, options, shared)
    finally:
        gc.collect()  # agents are in cycles; a worker would keep those of many runs, and the frames they have mapped


def _trained_and_measured(run: Run, folder: Path, options: Options, shared: Any) -> tuple[Result, str]:
    """The result, and what is missing beside it."""
    from masklam_agents.benchmark.measure import held_out_is_apart, measure, trained_on

    normalizers = shared.normalizers(run)
    held_out_is_apart(run, shared)
    agent, spent = shared.agent(run)
    shared.stop.check()
    began, began_cpu = time.monotonic(), time.process_time()
    metrics, evaluation = measure(agent, run, shared, normalizers)
    wall, cpu = time.monotonic() - began, time.process_time() - began_cpu
    warning = _draw(agent, run, shared, folder) if options.pictures and run.config["seed"] == 0 else ""
    if options.keep_agents:
        shutil.copyfile(shared.agent_file(run.agent_key), folder / AGENT)
    result = Result(
        **_place(run, options.command, spent.commits),
        status="ok",
        error="",
        metrics=metrics,
        normalizers=normalizers,
        training=trained_on(agent, run, shared),
        evaluation=evaluation,
        wall_seconds=spent.wall + wall,
        cpu_seconds=spent.cpu + cpu,
    )
    return result, warning


def _draw(agent: Any, run: Run, shared: Any, folder: Path) -> str:
    """The run's pictures; what went wrong with them, which is no reason to lose the scores, is returned and kept."""
    from masklam_agents.benchmark.measure import draw_frames, draw_rollout

    told = []
    (folder / NO_PICTURES).unlink(missing_ok=True)
    for draw in (draw_frames, draw_rollout):
        try:
            draw(agent, run, shared, folder)
        except Exception as error:  # a method's predict_next may do anything
            if disk_is_full(error):
                raise
            told.append(traceback.format_exc())
    if not told:
        return ""
    write_text(folder / NO_PICTURES, "\n".join(told))
    return f"no pictures ({in_a_line(told[0])}): the traceback is in {NO_PICTURES} of the run's folder"


def failure(run: Run, error: str, seconds: tuple[float, float] = (0.0, 0.0), command: str = "") -> Result:
    """The result of a run that failed.

    :param error: the traceback, or what was told
    :param seconds: of wall and processor
    :param command: of the whole suite
    """
    options = run.config["options"]
    return Result(
        **_place(run, command),
        status="failed",
        error=error[-100_000:] or "no message",
        metrics=None,
        normalizers=None,
        training=Training(
            network=options.get("network", "unknown"),
            parameters=None,
            updates={},
            samples={},
            learning_rate={},
            labels=min(options.get("labels") or 0, 2**53),
            label_subset=None,
            dataset=None,
            tuning=tuning_of(run),
        ),
        evaluation=Evaluation(evaluation_seeds(run), run.config["evaluation"]["split"], None),
        wall_seconds=seconds[0],
        cpu_seconds=seconds[1],
    )


def _place(run: Run, command: str, trained_at: tuple[str, ...] = ()) -> dict[str, Any]:
    """What results of every status say alike; commits of training that began before an update are named beside it."""
    config = run.config
    others = {f"training commit {n}": other for n, other in enumerate(sorted({*trained_at} - {commit()}), 1)}
    names = ("suite", "suite_version", "method", "task", "distractor", "seed", "variables")
    return {name: config[name] for name in names} | {
        "config": config,
        "config_hash": run.hash,
        "command": command_of(run, command),
        "versions": installed_versions() | others,
        "commit": commit(),
        "machine": machine(),
    }


def command_of(run: Run, command: str = "") -> str:
    """What repeats this run alone.

    :param command: of the whole suite, with all of its plugins: the suite may name what they register
    """
    config = run.config
    plugins = "".join(f" --plugin {name}" for name in config["plugins"])
    whole = command or f"masklam benchmark {config['suite']}{plugins}"
    alone = "" if "--tune" in command.split() else f" --seeds {config['seed'] + 1} --run {run.hash}"
    return f"{whole} --method {config['method']}{alone}"


def evaluation_seeds(run: Run) -> tuple[int, ...]:
    """Reset seeds of the evaluation's episodes."""
    evaluation = run.config["evaluation"]
    return tuple(range(evaluation["seed"], evaluation["seed"] + evaluation["episodes"]))


def tuning_of(run: Run) -> Tuning:
    """What was spent on choosing the run's hyperparameters."""
    tuning = run.config["tuning"]
    return Tuning(
        {name: tuple(values) for name, values in tuning["grid"].items()}, tuning["trials"], tuning["chosen_by"]
    )


def in_a_line(text: str) -> str:
    r"""Of a traceback the exception's type and the first line of its message; other text's last line.

    >>> in_a_line('Traceback (most recent call last):\n  File "a.py", line 1, in f\n    x\nKeyError: 1\nand more')
    'KeyError: 1'
    """
    lines = text.strip().splitlines()
    frames = [place for place, line in enumerate(lines) if line.startswith('  File "')]
    after = lines[frames[-1] + 1 :] if frames else lines[-1:]
    return next((line for line in after if not line.startswith(" ")), "")
