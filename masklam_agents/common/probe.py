"""The linear probe: how much of the true action a linear map reads from a latent action, in closed form.

And what else can be asked of a set of latents without a network: the distractor's motion, their rank.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklam_envs.data.frames import Frames, LazyFrames, episode_track
from masklam_envs.errors import unknown_name
from masklam_envs.view import View


class NothingMovesError(ValueError):
    """There is no motion that a probe could read."""


#: training latents (N, D) and targets (N, K), held-out latents (M, D) and targets (M, K)
Samples = tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]
RIDGES = tuple(10.0**e for e in range(-6, 3))


@dataclasses.dataclass(frozen=True)
class ProbeResult:
    """Quality of a regression from latents on held-out samples.

    :param nmse: mean squared error over the actions' variance, both averaged over action dimensions (paper Eq. 5);
        the variance is the training actions'.  What a constant has is 1 only where held-out actions vary as much: with
        less noise than in training it has less
    :param r2: 1 - squared error over squared deviation from the held-out mean, averaged over action dimensions: 0 is as
        good as that mean
    :param mse: mean squared error, in squared action units
    :param per_dimension: NMSE of each action dimension
    :param ridge: penalty chosen on the training samples; None where the regression is a network
    :param r2_per_dimension: R2 of each action dimension
    :param train_nmse: NMSE on the training samples
    :param train_r2: R2 on the training samples
    """

    nmse: float
    r2: float
    mse: float
    per_dimension: tuple[float, ...]
    ridge: float | None
    r2_per_dimension: tuple[float, ...]
    train_nmse: float
    train_r2: float


def moving(
    train: NDArray[np.floating], held_out: NDArray[np.floating]
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """The parts of a distractor's motion, (N, K) and (M, K), that vary in training.

    :raises NothingMovesError: when none does
    """
    varies = np.ptp(train, axis=0) > 0
    if not varies.any():
        raise NothingMovesError("the distractor does not move: there is nothing to probe the latent for")
    return train[:, varies], held_out[:, varies]


def linear_probe(
    train_latents: NDArray[np.floating],
    train_actions: NDArray[np.floating],
    test_latents: NDArray[np.floating],
    test_actions: NDArray[np.floating],
) -> ProbeResult:
    """Fit on the training samples, score on the held-out ones.

    The ridge penalty, relative to the mean squared norm of a standardised latent, is chosen on the last fifth of the
    training samples, then the fit uses all of them.

    :param train_latents: (N, D)
    :param train_actions: (N, A)
    :param test_latents: (M, D)
    :param test_actions: (M, A)
    :raises ValueError: when shapes do not fit, numbers are not finite, or there are fewer than ten training samples
    """
    z, a, z_test, a_test = checked_samples(train_latents, train_actions, test_latents, test_actions)
    mean, std = z.mean(0), z.std(0) + 1e-8
    z, z_test = (z - mean) / std, (z_test - mean) / std
    cut = len(z) * 4 // 5
    ridge = min(RIDGES, key=lambda r: float(((_fit(z[:cut], a[:cut], r)(z[cut:]) - a[cut:]) ** 2).mean()))
    return scored(_fit(z, a, ridge), z, a, z_test, a_test, ridge)


def checked_samples(*samples: NDArray[np.floating]) -> list[NDArray[np.float64]]:
    """Training latents and actions, held-out latents and actions, as a probe can use them.

    :raises ValueError: when shapes do not fit, numbers are not finite, or there are fewer than ten training samples
    """
    arrays = [np.asarray(x, np.float64) for x in samples]
    z, a, z_test, a_test = arrays
    if any(x.ndim != 2 for x in arrays) or len(z) != len(a) or len(z_test) != len(a_test) or len(z) < 10:
        raise ValueError(
            "a probe needs latents (N, D) and actions (N, A) of equal N >= 10, and the same held out; "
            f"got {[x.shape for x in arrays]}"
        )
    if z.shape[1] != z_test.shape[1] or a.shape[1] != a_test.shape[1]:
        raise ValueError(
            f"training and held-out samples must have as many numbers each, got latents of {z.shape[1]} and "
            f"{z_test.shape[1]}, targets of {a.shape[1]} and {a_test.shape[1]}: are the datasets of one task?"
        )
    if not all(np.isfinite(x).all() for x in arrays):
        raise ValueError("a probe got latents or actions that are not finite: did training diverge?")
    return arrays


def scored(
    fit: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    z: NDArray[np.float64],
    a: NDArray[np.float64],
    z_test: NDArray[np.float64],
    a_test: NDArray[np.float64],
    ridge: float | None,
) -> ProbeResult:
    """What a fitted regression is worth.

    :param fit: latents (N, D) to actions (N, A)
    :param z: training latents, as ``fit`` reads them
    :param a: training actions
    :param z_test: held-out latents
    :param a_test: held-out actions
    :param ridge: to be noted
    """
    error, train_error = ((fit(z_test) - a_test) ** 2).mean(0), ((fit(z) - a) ** 2).mean(0)
    variance = a.var(0)
    r2 = 1 - error / np.maximum(a_test.var(0), 1e-12)
    return ProbeResult(
        nmse=float(error.mean() / max(variance.mean(), 1e-12)),
        r2=float(r2.mean()),
        mse=float(error.mean()),
        per_dimension=tuple(float(e) for e in error / np.maximum(variance, 1e-12)),
        ridge=ridge,
        r2_per_dimension=tuple(float(r) for r in r2),
        train_nmse=float(train_error.mean() / max(variance.mean(), 1e-12)),
        train_r2=float((1 - train_error / np.maximum(variance, 1e-12)).mean()),
    )


def effective_rank(latents: NDArray[np.floating]) -> float:
    """How many directions the latents use: exp of the entropy of their normalised singular values.

    Roy & Vetterli 2007, of the latents about their mean: 1 for a line, D for D directions of equal spread, 0 for a
    point.

    :param latents: (N, D)
    """
    centred = np.asarray(latents, np.float64) - np.mean(latents, axis=0, dtype=np.float64)
    values = np.sqrt(np.linalg.eigvalsh(centred.T @ centred).clip(min=0))
    if values.max(initial=0) <= 1e-12:
        return 0.0
    share = values[values > 1e-9 * values.max()] / values.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def executed_actions(frames: Frames | LazyFrames, view: Any = None) -> NDArray[np.floating]:
    """The actions (N, A) of every transition.

    :raises ValueError: when none are known
    """
    actions = frames.trajectories.actions
    if not actions.shape[1]:
        raise ValueError(f"the actions of {frames.trajectories.name} are not known: probe episodes whose actions are")
    return actions


def distractor_motion(frames: Frames | LazyFrames, view: Any = None) -> NDArray[np.floating]:
    """What the distractor added to its pose at every transition: (N, K), in the distractor's units.

    :param frames: drawn under it
    :param view: what they were drawn with: an environment or a ``View``; not needed for ``LazyFrames``
    :raises NothingMovesError: when nothing moves
    :raises ValueError: when there is no view
    """
    if view is None and isinstance(frames, LazyFrames):
        view = frames.view
    drawn = view if isinstance(view, View) or view is None else view.unwrapped.view
    if drawn is None:
        raise ValueError("frames in memory do not know their distractor: pass view=env, what they were drawn with")
    trajectories = frames.trajectories
    motions = [drawn.distractor.motion(episode_track(drawn, trajectories, e)) for e in range(trajectories.episodes)]
    moved = [motion for motion in motions if motion is not None]
    if not moved or not moved[0].shape[1]:
        raise NothingMovesError(f"distractor {drawn.config.distractor!r} does not move: there is nothing to probe for")
    return np.concatenate(moved)


Targets = Callable[[Frames | LazyFrames, Any], NDArray[np.floating]]
TARGETS: dict[str, Targets] = {"action": executed_actions, "distractor": distractor_motion}


def get_targets(name: str) -> Targets:
    """What a probe is to read, by name: a function of frames and view.

    :raises ValueError: when there is none of that name
    """
    if name not in TARGETS:
        raise ValueError(unknown_name("probe target", name, TARGETS))
    return TARGETS[name]


class _fit:  # noqa: N801 - used as a function
    """Ridge regression with an unpenalised bias."""

    def __init__(self, z: NDArray[np.float64], a: NDArray[np.float64], ridge: float) -> None:
        self.z_mean, self.a_mean = z.mean(0), a.mean(0)
        centred = z - self.z_mean
        gram = centred.T @ centred
        penalty = ridge * np.trace(gram) / len(gram) + 1e-12
        self.weight = np.linalg.solve(gram + penalty * np.eye(len(gram)), centred.T @ (a - self.a_mean))

    def __call__(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        return (z - self.z_mean) @ self.weight + self.a_mean
