"""What an agent's latent actions carry: action, background, how many directions, and what its forward model gets right.

:func:`measure_latents` is what ``masklam evaluate`` prints; docs/methods.md has the equations.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch as th
from numpy.typing import NDArray

from masklam_agents.common.base import LatentActionAlgorithm
from masklam_agents.common.mlp_probe import mlp_probe
from masklam_agents.common.probe import NothingMovesError, ProbeResult, Samples, effective_rank, linear_probe, moving
from masklam_agents.common.quantize import CodebookHealth, codebook_health
from masklam_agents.common.training_data import Dataset
from masklam_envs.data.frames import LazyFrames

PREDICTED = 1_000
PREDICT_BATCH = 250


@dataclasses.dataclass(frozen=True)
class Reconstruction:
    """Mean squared error of predicted next frames, per channel, pixels in [0, 1], pooled over all pixels of a kind.

    :param inside: where the next frame's mask is; None where no mask is anywhere
    :param outside: everywhere else; of no meaning for methods that predict a greyed background
    :param still_inside: error inside the mask of taking the frame at t for the next one
    :param still_outside: the same outside
    """

    inside: float | None
    outside: float | None
    still_inside: float | None
    still_outside: float | None


@dataclasses.dataclass(frozen=True)
class LatentReport:
    """Measurements of one agent on one dataset.

    :param method: the agent's class
    :param latent_dim: numbers of a latent action
    :param transitions: how many the probes were fitted on, and scored on
    :param action: linear probe to the executed action; None where the episodes' actions are not known
    :param action_mlp: the same by a small network: what of the action the latent holds in no linear way
    :param distractor: linear probe to the distractor's motion; None where nothing moves or no view is known
    :param distractor_mlp: the same by a small network
    :param effective_rank: directions that the held-out latents use, see
        :func:`~masklam_agents.common.probe.effective_rank`
    :param codebooks: use of a quantiser's codes on held-out transitions; None for continuous latents
    :param reconstruction: of the forward model, on held-out transitions; None where it predicts no pixels
    """

    method: str
    latent_dim: int
    transitions: tuple[int, int]
    action: ProbeResult | None
    action_mlp: ProbeResult | None
    distractor: ProbeResult | None
    distractor_mlp: ProbeResult | None
    effective_rank: float
    codebooks: CodebookHealth | None
    reconstruction: Reconstruction | None

    def to_json(self) -> dict[str, Any]:
        """The same as plain dictionaries, lists and numbers."""
        return dataclasses.asdict(self)


def measure_latents(
    agent: LatentActionAlgorithm, train: Dataset, held_out: Dataset, *, view: Any = None, limit: int = 20_000
) -> LatentReport:
    """Measure an agent's latent actions.

    :param agent: with latent actions
    :param train: what the probes are fitted on
    :param held_out: what everything is scored on: other episodes, other backgrounds
    :param view: what frames in memory were drawn with, see
        :meth:`~masklam_agents.common.base.LatentActionAlgorithm.probe`; without it the distractor is left out
    :param limit: at most so many transitions of each set; at most 1,000 frames are predicted
    :raises ValueError: when the frames have another size than the agent's
    """
    both = train, held_out
    z_train, z = (agent.latents(frames, agent.spaced(frames, limit)) for frames in both)
    acted = None
    if any(frames.trajectories.actions.shape[1] for frames in both):
        acted = z_train, agent.probe_targets(train, limit), z, agent.probe_targets(held_out, limit)
    moved = distractor_samples(agent, (z_train, z), both, view, limit)
    latents = z.astype(np.float32)
    return LatentReport(
        method=type(agent).__name__,
        latent_dim=latents.shape[1],
        transitions=(len(z_train), len(latents)),
        action=None if acted is None else linear_probe(*acted),
        action_mlp=None if acted is None else mlp_probe(*acted),
        distractor=None if moved is None else linear_probe(*moved),
        distractor_mlp=None if moved is None else mlp_probe(*moved),
        effective_rank=effective_rank(latents),
        codebooks=_codebooks(agent, latents),
        reconstruction=measure_reconstruction(agent, held_out, min(limit, PREDICTED)) if agent.can_predict else None,
    )


def distractor_samples(
    agent: LatentActionAlgorithm, latents: tuple[Any, Any], both: tuple[Dataset, Dataset], view: Any, limit: int
) -> Samples | None:
    """What a probe of the distractor's motion is fitted to and scored on; None where it is not known or there is none.

    :param latents: (N, D) and (M, D), of at most ``limit`` transitions of each dataset
    :param both: what the probe is fitted on, and what it is scored on
    :param view: what frames in memory were drawn with, an environment or a ``View``
    """
    known = view is not None or all(isinstance(frames, LazyFrames) for frames in both)
    if not known:
        return None
    try:
        values = [agent.probe_targets(frames, limit, target="distractor", view=view) for frames in both]
        train, held_out = moving(*values)
    except NothingMovesError:
        return None
    return latents[0], train, latents[1], held_out


def latents_and_actions(
    agent: LatentActionAlgorithm, frames: Dataset, limit: int
) -> tuple[NDArray[np.float32], NDArray[np.floating]]:
    """Latents (N, D) of at most ``limit`` transitions, evenly spaced, and the actions (N, A) executed in them."""
    chosen = agent.spaced(frames, limit)
    return agent.latents(frames, chosen), frames.trajectories.actions[agent.windows(frames).step(chosen)]


def measure_reconstruction(agent: LatentActionAlgorithm, frames: Dataset, limit: int = PREDICTED) -> Reconstruction:
    """Errors of the forward model's next frames inside and outside the mask, beside those of a still picture.

    :param limit: at most so many transitions, evenly spaced
    :raises NotImplementedError: when the agent predicts no pixels
    """
    windows, sums = agent.windows(frames), np.zeros((2, 3))  # inside, outside: pixels, error, error of a still picture
    chosen = agent.spaced(frames, limit)
    for anchors in np.split(chosen, range(PREDICT_BATCH, len(chosen), PREDICT_BATCH)):
        here, there = windows.observation(anchors), windows.observation(anchors + 1)
        seen = windows.observation(agent.ahead(frames, anchors))
        inside = there["mask"][..., -1] > 0
        target = there["pixels"][..., -3:] / 255.0
        errors = [((image / 255.0 - target) ** 2).mean(-1) for image in (agent.predict_next(here, seen), _last(here))]
        for row, chosen_pixels in zip(sums, (inside, ~inside), strict=True):
            row += [chosen_pixels.sum(), *(error[chosen_pixels].sum() for error in errors)]
    mean = [[float(e / count) if count else None for e in (error, still)] for count, error, still in sums]
    (inside_error, still_inside), (outside_error, still_outside) = mean
    return Reconstruction(inside_error, outside_error, still_inside, still_outside)


def text_of(report: LatentReport) -> str:
    """A report for a terminal, one line a measurement."""
    seen = report.transitions
    lines = [
        f"{report.method}: {report.latent_dim} numbers a latent, effective rank {report.effective_rank:.1f}",
        f"probes fitted on {seen[0]} transitions, scored on {seen[1]} held-out ones",
        *_action_lines(report),
    ]
    if report.distractor is None:
        lines.append("distractor  nothing of it moves, or what the frames were drawn with is not known")
    else:
        lines.append(f"distractor  NMSE {report.distractor.nmse:.3f}  R2 {report.distractor.r2:.3f}")
        lines.append(f"  R2 of each component    {_numbers(report.distractor.r2_per_dimension)}")
    if report.distractor_mlp is not None:
        lines.append(f"  by a network            R2 {report.distractor_mlp.r2:.3f}")
    if report.codebooks is not None:
        used, even = _numbers(report.codebooks.usage), _numbers(report.codebooks.perplexity)
        lines.append(f"codebooks   of {report.codebooks.codes} codes: share used {used}, perplexity {even}")
    if report.reconstruction is not None:
        r = report.reconstruction
        lines.append(f"inside mask   squared error {_small(r.inside)}, of a still picture {_small(r.still_inside)}")
        lines.append(f"outside mask  squared error {_small(r.outside)}, of a still picture {_small(r.still_outside)}")
    return "\n".join(lines)


def _action_lines(report: LatentReport) -> list[str]:
    action, by_network = report.action, report.action_mlp
    if action is None or by_network is None:
        return ["action      not known in these episodes"]
    return [
        f"action      NMSE {action.nmse:.3f}  R2 {action.r2:.3f}  (on the training ones NMSE {action.train_nmse:.3f}"
        f"  R2 {action.train_r2:.3f})",
        f"  NMSE of each dimension  {_numbers(action.per_dimension)}",
        f"  R2 of each dimension    {_numbers(action.r2_per_dimension)}",
        f"  by a network            NMSE {by_network.nmse:.3f}  R2 {by_network.r2:.3f}",
    ]


def split_for_probe(frames: Dataset) -> tuple[Dataset, Dataset]:
    """The first four fifths of the episodes and the rest.

    :raises ValueError: for a single episode
    """
    count = frames.trajectories.episodes
    if count < 2:
        raise ValueError("one episode cannot be split into training and held-out ones: give more, or --train")
    cut = min(max(count * 4 // 5, 1), count - 1)
    parts = range(cut), range(cut, count)
    if isinstance(frames, LazyFrames):
        return frames.part(parts[0]), frames.part(parts[1])
    return frames.select(parts[0]), frames.select(parts[1])


def _codebooks(agent: LatentActionAlgorithm, latents: np.ndarray) -> CodebookHealth | None:
    bottleneck: Any = agent.policy.bottleneck
    if bottleneck is None:
        return None
    return codebook_health(bottleneck.counts(th.from_numpy(latents).to(agent.device)))


def _last(observation: dict[str, Any]) -> Any:
    return observation["pixels"][..., -3:]


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.3f}" for value in values)


def _small(value: float | None) -> str:
    return "none" if value is None else f"{value:.5f}"
