"""The ``masklam`` command."""

from __future__ import annotations

import contextlib
import json
import platform
import warnings
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from masklam_agents.plugins import load_plugins

PACKAGES = (
    *("masklam", "gymnasium", "mujoco", "numpy", "numba", "torch", "stable-baselines3", "safetensors"),
    *("opencv-python-headless", "opencv-python", "rembg", "onnxruntime", "transformers"),
)

Plugins = Annotated[
    list[str] | None, typer.Option("--plugin", help="module that registers methods, tasks, masks of yours; repeat it")
]

#: what a flag takes
JSON_EXAMPLES = {
    "view": """'{"distractor": "video"}'""",
    "train-view": """'{"distractor": "video"}'""",
    "prompt": """'{"box": [8, 8, 56, 56]}'""",
    "faults": """'{"name": "erosion", "radius": 2}'""",
}

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Latent action models under visual distractors.")


@contextlib.contextmanager
def _mistakes_told() -> Iterator[None]:
    """A mistake in the arguments or the data is a message and no traceback; a warning is one line."""
    import gymnasium as gym

    try:
        with warnings.catch_warnings():
            plain = warnings.showwarning

            def told(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
                if issubclass(category, UserWarning):
                    typer.echo(f"warning: {message}", err=True)
                else:
                    plain(message, category, *where, **more)

            warnings.showwarning = told
            yield
    except (gym.error.Error, ImportError, LookupError, MemoryError, OSError, TypeError, ValueError) as error:
        raise typer.BadParameter(str(error)) from error


def _json(flag: str, text: str, *kinds: type) -> Any:
    """The value of a flag that is JSON.

    :param kinds: of Python's, that it may be
    :raises ValueError: naming the flag
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        value = None
    if not isinstance(value, kinds):
        raise ValueError(f"--{flag} takes JSON like {JSON_EXAMPLES[flag]}, with these quotes, got {text!r}")
    return value


@app.command()
def envs(
    name: Annotated[str | None, typer.Argument(help="an id: tell everything about it")] = None,
    gallery: Annotated[Path | None, typer.Option(help="PNG file: draw the tasks under the distractors")] = None,
) -> None:
    """List the registered environments, tell everything about one, or draw them all."""
    from masklam_envs.documentation import describe
    from masklam_envs.gallery import draw_gallery
    from masklam_envs.suites.catalog import suite_ids
    from masklam_envs.tasks import TASKS

    with _mistakes_told():
        if name is not None:
            typer.echo(describe(name))
        if gallery is not None:
            draw_gallery(gallery, tasks=[name] if name else tuple(TASKS))
            typer.echo(f"{gallery}: {gallery.stat().st_size / 1000:.0f} kB")
    if name is not None or gallery is not None:
        return
    for task in TASKS.values():
        typer.echo(f"{task.id:<42} {task.base:<38} expert: {'yes' if task.expert else 'no'}")
    for row in suite_ids():
        typer.echo(f"{row.id:<42} {row.base:<38} extra: {row.extra}")


@app.command()
def collect(
    task: Annotated[
        str, typer.Argument(help="an id that `masklam envs` lists, or of any MuJoCo environment; module:ID imports it")
    ],
    out: Annotated[Path, typer.Option(help="folder of the dataset; a recording that was interrupted goes on there")],
    episodes: Annotated[int, typer.Option(min=1)] = 100,
    policy: Annotated[str, typer.Option(help="reference, expert, medium, mixed or random")] = "reference",
    noise: Annotated[float | None, typer.Option(help="standard deviation of action noise")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    workers: Annotated[
        int | None, typer.Option(min=1, help="processes; one a core where each gets ten episodes")
    ] = None,
    max_steps: Annotated[int | None, typer.Option(min=1, help="cut episodes after so many steps")] = None,
    plugin: Plugins = None,
) -> None:
    """Record episodes as physics states; frames are drawn from them later."""
    import masklam_envs
    from masklam_envs.data.collect import worthwhile_workers

    with _mistakes_told():
        load_plugins(plugin or ())
        recorded = masklam_envs.collect(
            task,
            episodes,
            policy=policy,
            noise=noise,
            seed=seed,
            workers=workers or worthwhile_workers(episodes),
            max_steps=max_steps,
            out=out,
            progress_bar=True,
        )
    typer.echo(f"{out}: {recorded.episodes} episodes, {len(recorded)} steps, mean return {recorded.returns.mean():.1f}")


@app.command()
def convert(
    source: Annotated[str, typer.Argument(help="file, folder or Minari id of a dataset")],
    target: Annotated[str, typer.Argument(help="what to write: file, folder or Minari id")],
    to: Annotated[str, typer.Option(help="masklam, folder, huggingface, laom, lerobot or minari")],
    layout: Annotated[str | None, typer.Option("--from", help="layout of the source; it is found out")] = None,
    env: Annotated[str | None, typer.Option(help="id to draw recorded physics with; as recorded")] = None,
    view: Annotated[str, typer.Option(help='JSON of its arguments, e.g. {"distractor": "video"}')] = "{}",
    masks: Annotated[str | None, typer.Option(help="column of masks to write; the dataset's own")] = None,
    option: Annotated[list[str] | None, typer.Option("--option", "-o", help="name=value of the layout")] = None,
    plugin: Plugins = None,
) -> None:
    """Write a dataset in another layout, or read one into ours (--to masklam)."""
    from masklam_envs.data.formats.convert import convert_dataset, parse_options

    with _mistakes_told():
        load_plugins(plugin or ())
        options = parse_options(option or [])
        seen = {"env": env, "view": _json("view", view, dict), "masks": masks}
        convert_dataset(source, target, to, layout=layout, **seen, **options)
    typer.echo(f"{target}: written as {to}")


@app.command("import")
def import_(
    videos: Annotated[list[Path], typer.Argument(help="video files, or a folder of them")],
    out: Annotated[Path, typer.Option(help="folder of the dataset")],
    mask_source: Annotated[str | None, typer.Option(help="as of `segment`, or none; the PNG beside the clips")] = None,
    mask_option: Annotated[list[str] | None, typer.Option(help="name=value of the mask source")] = None,
    size: Annotated[int, typer.Option(min=4, help="side of the frames, pixels")] = 64,
    stride: Annotated[int, typer.Option(min=1, help="take every so many-th frame")] = 1,
    longest: Annotated[int, typer.Option(min=2, help="frames of an episode; longer clips become several")] = 1_001,
    skip_damaged: Annotated[bool, typer.Option(help="leave out clips that cannot be read")] = False,
    plugin: Plugins = None,
) -> None:
    """Make an action-free dataset of your own videos; stage 1 of a latent action model trains on it."""
    from masklam_envs.data.formats.convert import import_dataset, parse_options

    with _mistakes_told():
        load_plugins(plugin or ())
        if mask_source is not None:
            _tell_providers({"name": mask_source, **parse_options(mask_option or [])})
        frames = import_dataset(
            videos,
            out,
            "folder",
            size=size,
            mask_source=mask_source,
            mask_options=parse_options(mask_option or []),
            stride=stride,
            longest=longest,
            skip_damaged=skip_damaged,
        )
    count, masks = frames.trajectories.episodes, frames.trajectories.meta["masks"]
    share = float((frames.mask > 0).mean())
    typer.echo(f"{out}: {count} episodes, {len(frames)} frames; masks: {masks}, {share:.1%} of the pixels")


def _tell_providers(config: dict[str, Any]) -> None:
    """Say on what a source of rembg's runs; its session is kept, so this costs nothing."""
    from masklam_envs.masks import make_mask_source

    if config["name"] == "rembg":
        typer.echo(f"rembg runs on {make_mask_source(config).providers[0]}")  # type: ignore[union-attr]


@app.command("segment")
def segment_(
    dataset: Annotated[Path, typer.Argument(help="folder of a dataset, physics or pixels")],
    mask_source: Annotated[str, typer.Option(help="motion, rembg, sam, simulator, student, or yours")],
    option: Annotated[list[str] | None, typer.Option("--option", "-o", help="name=value of the mask source")] = None,
    name: Annotated[str | None, typer.Option(help="of the column of masks; the source's")] = None,
    prompt: Annotated[str | None, typer.Option(help='JSON, e.g. {"box": [8, 8, 56, 56]}, for source sam')] = None,
    env: Annotated[str | None, typer.Option(help="id to draw recorded physics with; as recorded")] = None,
    view: Annotated[str, typer.Option(help='JSON of its arguments, e.g. {"distractor": "video"}')] = "{}",
    faults: Annotated[
        str | None, typer.Option(help='JSON: what is wrong with the masks, e.g. {"name": "erosion", "radius": 2}')
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="processes, each with a source of its own")] = 1,
    sheet: Annotated[
        Path | None,
        typer.Option(help="PNG file: draw some of the masks, and those of other columns of these frames"),
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Add masks to a dataset, beside those it has; a run that was interrupted goes on."""
    from masklam_envs.data.formats.convert import parse_options
    from masklam_envs.data.mask_columns import comparable_columns, draw_sheet, segment_dataset

    with _mistakes_told(), warnings.catch_warnings(record=True) as told:
        load_plugins(plugin or ())
        warnings.simplefilter("always", UserWarning)
        arguments = _json("view", view, dict)
        if sheet is not None:  # before the work: a folder that cannot be made is told now
            sheet.parent.mkdir(parents=True, exist_ok=True)
        config = {"name": mask_source, **parse_options(option or [])}
        _tell_providers(config)
        column = segment_dataset(
            dataset,
            config,
            name=name,
            prompt=None if prompt is None else _json("prompt", prompt, dict),
            env=env,
            view=arguments,
            mask_faults=None if faults is None else _json("faults", faults, dict, list, str),
            workers=workers,
            progress_bar=True,
        )
        if sheet is not None:
            draw_sheet(sheet, dataset, comparable_columns(dataset, column), env=env, view=arguments)
    typer.echo(f"{dataset}: masks {column.name!r} of {len(column.soft)} frames")
    if column.quality is not None:
        typer.echo(str(column.quality))
    for warning in told:
        typer.echo(f"warning: {warning.message}", err=True)


@app.command()
def train_segmenter(
    dataset: Annotated[Path, typer.Argument(help="folder of a dataset, physics or pixels")],
    out: Annotated[Path | None, typer.Option(help=".onnx file; the one that mask_source='student' looks for")] = None,
    masks: Annotated[str | None, typer.Option(help="column of masks to learn from; the dataset's own")] = None,
    env: Annotated[str | None, typer.Option(help="id to draw recorded physics with; as recorded")] = None,
    view: Annotated[
        list[str] | None, typer.Option(help='JSON of its arguments, e.g. {"distractor": "video"}; several: all of them')
    ] = None,
    updates: Annotated[int, typer.Option(min=1, help="of the optimiser")] = 600,
    base: Annotated[int, typer.Option(min=1, help="channels of the network at half resolution")] = 16,
    rembg: Annotated[Path | None, typer.Option(help="also write it for rembg's u2net_custom: this .onnx file")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    plugin: Plugins = None,
) -> None:
    """Train a small segmentation network for live use, in minutes, on whatever masks a dataset has."""
    from masklam_agents.segmenter import train_segmenter as train
    from masklam_envs.data.formats.convert import open_own
    from masklam_envs.masks.student import default_student

    with _mistakes_told():
        load_plugins(plugin or ())
        views = [_json("view", each, dict) for each in view or ["{}"]]
        data = [open_own(dataset, view=each, env=env, masks=masks) for each in views]
        target = out or default_student()
        notes = {"dataset": dataset.name, "masks": masks or "own", "views": views}
        quality = train(
            data, target, updates=updates, base=base, seed=seed, notes=notes, rembg_out=rembg, progress_bar=True
        )
    typer.echo(f"{target}: on held-out episodes IoU {quality.iou_mean:.3f}, boundary F {quality.boundary_f:.3f}")


@app.command("inspect")
def inspect_(
    dataset: Annotated[Path, typer.Argument(help="folder of a dataset")],
    out: Annotated[Path | None, typer.Option(help="draw it into this .html or .png file")] = None,
    env: Annotated[str | None, typer.Option(help="id to draw recorded physics with; as recorded")] = None,
    view: Annotated[str, typer.Option(help='JSON of its arguments, e.g. {"distractor": "video"}')] = "{}",
    masks: Annotated[str | None, typer.Option(help="column of masks to look at; the dataset's own")] = None,
    plugin: Plugins = None,
) -> None:
    """Check every byte, measure what is in it, and flag what would make a result meaningless."""
    from masklam_envs.data.audit import audit
    from masklam_envs.data.audit_report import text_of, write_report

    with _mistakes_told():
        load_plugins(plugin or ())
        found = audit(dataset, env=env, view=_json("view", view, dict), masks=masks)
        if out is not None:
            write_report(found, out)
    typer.echo(text_of(found))
    if found.damaged:
        raise typer.Exit(1)


@app.command()
def evaluate(
    agent: Annotated[Path, typer.Argument(help="an agent file")],
    data: Annotated[Path, typer.Option(help="folder of a dataset that the agent was not trained on")],
    train: Annotated[Path | None, typer.Option(help="what probes are fitted on; else four fifths of --data")] = None,
    env: Annotated[str | None, typer.Option(help="id to draw recorded physics with; as recorded")] = None,
    view: Annotated[str, typer.Option(help='JSON of its arguments, e.g. {"distractor": "video"}')] = "{}",
    train_view: Annotated[str | None, typer.Option(help="the same of --train; else --view")] = None,
    limit: Annotated[int, typer.Option(min=20, help="transitions of each set, at most")] = 5_000,
    out: Annotated[Path | None, typer.Option(help="write the numbers into this JSON file")] = None,
    pictures: Annotated[Path | None, typer.Option(help="folder: draw predictions, errors and a map of latents")] = None,
    umap: Annotated[bool, typer.Option(help="with --pictures: map latents by UMAP too (extra umap)")] = False,
    plugin: Plugins = None,
) -> None:
    """Measure what an agent's latents carry: action, background, rank, codes; and what its forward model predicts."""
    with _mistakes_told():
        if umap and pictures is None:
            raise ValueError("--umap draws a picture: say into which folder by --pictures")
        if train_view is not None and train is None:
            raise ValueError("--train-view is how --train is seen: name that dataset, or leave it out")
        from masklam_agents.common.base import LatentActionAlgorithm
        from masklam_agents.common.understanding import measure_latents, split_for_probe, text_of
        from masklam_agents.methods import load_agent
        from masklam_envs.data.formats.convert import open_own
        from masklam_envs.data.frames import Frames, LazyFrames
        from masklam_envs.data.store import read_manifest
        from masklam_envs.whole import whole_file

        load_plugins(plugin or ())
        loaded = load_agent(agent)
        if not isinstance(loaded, LatentActionAlgorithm):
            raise ValueError(f"{agent} holds a {type(loaded).__name__} agent, which has no latent actions")

        def opened(folder: Path, flag: str, options: str) -> Frames | LazyFrames:
            size = {} if "rgbm" in read_manifest(folder)["fields"] else {"image_size": loaded.policy.image_size}
            return open_own(folder, view={**size, **_json(flag, options, dict)}, env=env)

        scored = opened(data, "view", view)
        if train is None:
            fitted, scored = split_for_probe(scored)
        else:
            fitted = opened(train, "train-view", view if train_view is None else train_view)
        if out is not None:  # before the work: a folder that cannot be made is told now
            out.parent.mkdir(parents=True, exist_ok=True)
        report = measure_latents(loaded, fitted, scored, limit=limit)
        typer.echo(text_of(report))
        if out is not None:
            with whole_file(out) as part:
                part.write_text(json.dumps(report.to_json(), indent=1) + "\n")
        if pictures is not None:
            _draw_latents(loaded, scored, pictures, ("pca", "umap") if umap else ("pca",), limit)


def _draw_latents(agent: Any, frames: Any, folder: Path, kinds: tuple[str, ...], limit: int) -> None:
    """Pictures of what an agent predicts and of where its latents lie."""
    from masklam_agents.common.pictures import latent_map, prediction_grid
    from masklam_agents.common.understanding import latents_and_actions

    folder.mkdir(parents=True, exist_ok=True)
    if agent.can_predict:
        prediction_grid({type(agent).__name__: agent}, frames, folder / "predictions.png")
    latents, actions = latents_and_actions(agent, frames, limit)
    for kind in kinds:
        latent_map(latents, actions, folder / f"latents_{kind}.png", kind)


@app.command()
def report(
    results: Annotated[list[Path], typer.Argument(help="folders of a benchmark, or files of results")],
    out: Annotated[Path | None, typer.Option(help="folder; `report` in the first folder of results")] = None,
    suite: Annotated[str | None, typer.Option(help="NAME or NAME@VERSION, where there are several")] = None,
    baseline: Annotated[str, typer.Option(help="method that ratios refer to")] = "lapo",
    gallery: Annotated[int, typer.Option(min=0, help="show the pictures of at most so many runs")] = 24,
    repetitions: Annotated[int, typer.Option(min=100, help="of the bootstrap")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="of the bootstrap")] = 0,
) -> None:
    """Write one HTML page of a benchmark's results, and the same numbers as CSV, JSON and LaTeX."""
    from masklam_agents.benchmark.report import write_report

    with _mistakes_told():
        folder = out or (results[0] if results[0].is_dir() else results[0].parent) / "report"
        options = {"gallery": gallery, "repetitions": repetitions, "seed": seed}
        summary = write_report(results, folder, suite=suite, baseline=baseline, **options)
    typer.echo(f"{folder / 'index.html'}: {len(summary.found)} runs, {len(summary.failed)} failed")


@app.command()
def leaderboard(
    files: Annotated[list[str], typer.Argument(help="files or folders of results, or NAME=PATH to say whose they are")],
    out: Annotated[Path, typer.Option(help=".html or .md file")],
    by: Annotated[str, typer.Option(help="measure that ranks")] = "normalized_return",
) -> None:
    """Put results that people sent into one table for each version of a suite; nothing of them is executed."""
    from masklam_agents.benchmark.leaderboard import write_leaderboard

    with _mistakes_told():
        boards = write_leaderboard(files, out, by=by)
    for board in boards:
        typer.echo(f"{out}: {board.suite} {board.version}, {len(board.entries)} entries, {board.places} places")


@app.command()
def benchmark(
    suite: Annotated[str, typer.Argument(help="a suite's name (`--list` tells them), or a .yaml file")] = "",
    method: Annotated[list[str] | None, typer.Option(help="only this one; several: repeat it")] = None,
    task: Annotated[list[str] | None, typer.Option(help="only this one; several: repeat it")] = None,
    distractor: Annotated[list[str] | None, typer.Option(help="only this one; several: repeat it")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="how many, from 0; the suite's number")] = None,
    run: Annotated[list[str] | None, typer.Option(help="only the run whose hash begins so")] = None,
    out: Annotated[Path | None, typer.Option(help="folder of the results; runs/benchmark/SUITE")] = None,
    launcher: Annotated[str, typer.Option(help="local or ray")] = "local",
    workers: Annotated[int | None, typer.Option(min=0, help="processes of local; one a core; 0: in this one")] = None,
    address: Annotated[str | None, typer.Option(help="of a Ray cluster, e.g. auto")] = None,
    plugin: Plugins = None,
    keep_agents: Annotated[bool, typer.Option(help="keep every agent in its run's folder")] = False,
    retry: Annotated[bool, typer.Option(help="run again what failed")] = False,
    tune: Annotated[bool, typer.Option(help="choose hyperparameters by the suite's grid instead")] = False,
    tuned: Annotated[Path | None, typer.Option(help="file that --tune wrote; the one beside the suite")] = None,
    known: Annotated[list[Path] | None, typer.Option(help="results that are there already: a file or folder")] = None,
    listed: Annotated[bool, typer.Option("--list", help="tell the suites")] = False,
) -> None:
    """Compare methods by a suite; a run that was interrupted goes on when the same command is given again."""
    with _mistakes_told():
        from masklam_agents.benchmark import command
        from masklam_agents.benchmark.plan import Chosen
        from masklam_agents.benchmark.suite import load_suite, suite_names

        if listed or not suite:
            for name in suite_names():
                typer.echo(f"{name:<20} {load_suite(name).summary}")
            return
        methods, tasks, distractors, runs = (tuple(each or ()) for each in (method, task, distractor, run))
        chosen = Chosen(methods, tasks, distractors, seeds, runs)
        plugins, results = tuple(plugin or ()), tuple(known or ())
        how = command.How(launcher, workers, address, plugins, keep_agents, retry, tuned, results)
        summary = (command.tune if tune else command.benchmark)(suite, out, chosen, how)
    if summary.failed or summary.left:
        raise typer.Exit(1)


@app.command()
def doctor() -> None:
    """Print what a bug report needs: versions, and whether the optional packages are there."""
    typer.echo(f"python {platform.python_version()} on {platform.platform()}")
    for name in PACKAGES:
        try:
            typer.echo(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            typer.echo(f"{name} not installed")
    typer.echo(f"OpenGL {_opengl()}")
    typer.echo(f"providers of ONNX Runtime: {_providers()}")


def _providers() -> str:
    try:
        import onnxruntime
    except ImportError:
        return "none, it is not installed: pip install 'masklam[rembg]'"
    return ", ".join(onnxruntime.get_available_providers())


def _opengl() -> str:
    from masklam_envs.rendering import gl

    try:
        return gl.description()
    except (gl.OpenGLUnavailableError, ValueError) as error:
        return f"not available: {error}"


if __name__ == "__main__":
    app()
