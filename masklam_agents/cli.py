"""The ``masklam`` command."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

PACKAGES = (
    *("masklam", "gymnasium", "mujoco", "numpy", "numba", "torch", "stable-baselines3", "safetensors"),
    *("opencv-python-headless", "opencv-python", "rembg", "onnxruntime"),
)

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Latent action models under visual distractors.")


@app.command()
def envs() -> None:
    """List the registered environments."""
    from masklam_envs.tasks import TASKS

    for task in TASKS.values():
        typer.echo(f"{task.id:<20} {task.base:<18} expert: {'yes' if task.expert else 'no'}")


@app.command()
def collect(
    task: Annotated[str, typer.Argument(help="an id that `masklam envs` lists")],
    out: Annotated[Path, typer.Option(help="folder of the dataset")],
    episodes: Annotated[int, typer.Option(min=1)] = 100,
    policy: Annotated[str, typer.Option(help="reference, expert, mixed or random")] = "reference",
    noise: Annotated[float | None, typer.Option(help="standard deviation of action noise")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Record episodes as physics states; frames are drawn from them later."""
    import gymnasium as gym

    import masklam_envs

    if out.exists() and not (out / "manifest.json").is_file():
        raise typer.BadParameter(f"{out} exists and is no dataset; give another name")
    try:
        recorded = masklam_envs.collect(task, episodes, policy=policy, noise=noise, seed=seed, progress_bar=True)
        recorded.save(out)
    except (gym.error.Error, TypeError, ValueError, OSError) as error:
        raise typer.BadParameter(str(error)) from error
    typer.echo(f"{out}: {recorded.episodes} episodes, {len(recorded)} steps, mean return {recorded.returns.mean():.1f}")


@app.command()
def doctor() -> None:
    """Print what a bug report needs: versions, and whether the optional packages are there."""
    typer.echo(f"python {platform.python_version()} on {platform.platform()}")
    for name in PACKAGES:
        try:
            typer.echo(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            typer.echo(f"{name} not installed")


if __name__ == "__main__":
    app()
