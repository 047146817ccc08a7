"""What a trained agent is measured on, and the pictures of it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from masklam_agents.benchmark import results
from masklam_agents.benchmark.execute import evaluation_seeds, tuning_of
from masklam_agents.benchmark.plan import Run
from masklam_agents.benchmark.results import Metrics, Normalizers, Training
from masklam_agents.benchmark.shared import Shared, count_parameters, physics_digest, view_options
from masklam_agents.common.base import LatentActionAlgorithm
from masklam_agents.common.evaluation import episode_returns
from masklam_agents.common.offline import OfflineAlgorithm
from masklam_agents.common.pictures import frame_strips, prediction_grid, rollout_video
from masklam_agents.common.precision import trains_in_bf16
from masklam_agents.common.probe import effective_rank, linear_probe
from masklam_agents.common.schedules import RATES
from masklam_agents.common.understanding import distractor_samples

PICTURE_STEPS = 100


def measure(
    agent: OfflineAlgorithm, run: Run, shared: Shared, normalizers: Normalizers | None
) -> tuple[Metrics, results.Evaluation]:
    """Returns on held-out seeds and backgrounds, and probes of the latents where the method has any."""
    plan = run.config["evaluation"]
    seeds = evaluation_seeds(run)
    returns = episode_returns(agent, lambda: evaluation_env(run), plan["episodes"], plan["seed"])
    probes: dict[str, Any] = {}
    transitions = None
    if isinstance(agent, LatentActionAlgorithm):
        probes = _probes(agent, run, shared)
        held_out = shared.frames(run, "held_out", distractor=plan["distractor"])
        limit = plan["transitions"]
        assert agent.dataset is not None
        transitions = len(agent.spaced(agent.dataset, limit)), len(agent.spaced(held_out, limit))
    metrics = Metrics.of(returns.tolist(), normalizers, **probes, more=_mask_quality(agent))
    return metrics, results.Evaluation(seeds, plan["split"], transitions)


def _mask_quality(agent: OfflineAlgorithm) -> dict[str, float]:
    """``mask_iou`` of the masks that it learned from, where they are an estimate and the simulator's are known."""
    column = getattr(agent.dataset, "masks", None)
    quality = getattr(column, "quality", None)
    return {} if quality is None else {"mask_iou": float(quality.iou_mean)}


def _probes(agent: LatentActionAlgorithm, run: Run, shared: Shared) -> dict[str, Any]:
    """Probes of the latents; with another distractor than in training they are fitted anew, the model stays."""
    plan = run.config["evaluation"]
    limit, other = plan["transitions"], plan["distractor"]
    train = shared.frames(run, "train", distractor=other) if other is not None else agent.dataset
    held_out = shared.frames(run, "held_out", distractor=other)
    assert train is not None
    # The latents of a set serve all of its probes.
    samples = z, actions, z_held, _ = agent.probe_samples(held_out, limit, train=train)
    found: dict[str, Any] = {"action": linear_probe(*samples), "effective_rank": effective_rank(z_held)}
    if plan["split"] == "test":
        unseen = shared.frames(run, "held_out", "test", distractor=other)
        latents = agent.latents(unseen, agent.spaced(unseen, limit))
        found["action_unseen"] = linear_probe(z, actions, latents, agent.probe_targets(unseen, limit))
    view = gym.make(run.config["task"], **view_options(run, "train", other))
    try:
        moved = distractor_samples(agent, (z, z_held), (train, held_out), view, limit)
    finally:
        view.close()
    found["distractor"] = None if moved is None else linear_probe(*moved)
    return found


def evaluation_env(run: Run, observation: tuple[str, ...] = ("pixels",)) -> gym.Env[Any, Any]:
    """One environment of the evaluation: the run's view, with the evaluation's backgrounds."""
    plan = run.config["evaluation"]
    options = view_options(run, plan["split"], plan["distractor"])
    limit = {} if plan["max_steps"] is None else {"max_episode_steps": plan["max_steps"]}
    return gym.make(run.config["task"], observation=observation, **options, **limit)


def held_out_is_apart(run: Run, shared: Shared) -> None:
    """No training or probe episode begins with a seed of the evaluation, and none is in both recordings.

    :raises ValueError: when one does
    """
    seen = [set(shared.trajectories(run, part).reset_seeds.tolist()) for part in ("train", "held_out")]
    if shared_seeds := (seen[0] | seen[1]) & set(evaluation_seeds(run)) or seen[0] & seen[1]:
        raise ValueError(
            f"reset seeds {sorted(shared_seeds)[:5]} are of training and of evaluation: choose another evaluation.seed"
        )


def trained_on(agent: OfflineAlgorithm, run: Run, shared: Shared) -> Training:
    """What the agent had, as the report compares it between methods."""
    assert agent.dataset is not None
    chosen = agent.labelled(agent.windows(agent.dataset))
    batch = int(agent.config["batch_size"])
    trained = {stage: updates for stage, updates in agent.progress.items() if updates}
    return Training(
        network=str(agent.config["network"]),
        parameters=count_parameters(agent),
        updates=trained,
        samples={stage: updates * batch for stage, updates in trained.items()},
        learning_rate={stage: float(agent.config[RATES[stage]]) for stage in trained},
        labels=len(chosen),
        label_subset=hashlib.sha256(np.ascontiguousarray(chosen).tobytes()).hexdigest()[:16],
        dataset=physics_digest(shared.trajectories(run, "train")),
        tuning=tuning_of(run),
        precision="bf16" if trains_in_bf16(agent.config["precision"], agent.device) else "fp32",
    )


def draw_frames(agent: OfflineAlgorithm, run: Run, shared: Shared, folder: Path) -> None:
    """Into the run's folder: held-out frames, their masks, and what the method predicts if it does."""
    held_out: Any = shared.frames(run, "held_out", distractor=run.config["evaluation"]["distractor"])
    if isinstance(agent, LatentActionAlgorithm) and agent.can_predict:
        prediction_grid({run.config["method"]: agent}, held_out.select([0]), folder / "predictions.png")
    else:
        frame_strips(held_out, folder / "frames.png", folder / "masks.png")


def draw_rollout(agent: OfflineAlgorithm, run: Run, shared: Shared, folder: Path) -> None:
    """Into the run's folder: what the agent does in the first episode of the evaluation."""
    env = evaluation_env(run, ("pixels", "mask"))
    rollout_video(agent, env, folder / "rollout.webp", PICTURE_STEPS, seed=run.config["evaluation"]["seed"])
    env.close()
