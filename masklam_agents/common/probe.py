"""The linear probe: how much of the true action a linear map reads from a latent action, in closed form."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

RIDGES = tuple(10.0**e for e in range(-6, 3))


@dataclasses.dataclass(frozen=True)
class ProbeResult:
    """Quality of a ridge regression on held-out samples.

    :param nmse: mean squared error over the actions' variance, both averaged over action dimensions (paper Eq. 5);
        the variance is the training actions'; 1 is as good as predicting the mean
    :param r2: 1 - squared error over squared deviation from the held-out mean, averaged over action dimensions
    :param mse: mean squared error, in squared action units
    :param per_dimension: NMSE of each action dimension
    :param ridge: penalty chosen on the training samples
    """

    nmse: float
    r2: float
    mse: float
    per_dimension: tuple[float, ...]
    ridge: float


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
    arrays = [np.asarray(x, np.float64) for x in (train_latents, train_actions, test_latents, test_actions)]
    z, a, z_test, a_test = arrays
    if any(x.ndim != 2 for x in arrays) or len(z) != len(a) or len(z_test) != len(a_test) or len(z) < 10:
        raise ValueError(
            "linear_probe needs latents (N, D) and actions (N, A) of equal N >= 10, and the same held out; "
            f"got {[x.shape for x in arrays]}"
        )
    if not all(np.isfinite(x).all() for x in arrays):
        raise ValueError("linear_probe got latents or actions that are not finite: did training diverge?")
    mean, std = z.mean(0), z.std(0) + 1e-8
    z, z_test = (z - mean) / std, (z_test - mean) / std
    cut = len(z) * 4 // 5
    ridge = min(RIDGES, key=lambda r: float(((_fit(z[:cut], a[:cut], r)(z[cut:]) - a[cut:]) ** 2).mean()))
    error = ((_fit(z, a, ridge)(z_test) - a_test) ** 2).mean(0)
    variance = a.var(0)
    spread = np.maximum(a_test.var(0), 1e-12)
    return ProbeResult(
        nmse=float(error.mean() / max(variance.mean(), 1e-12)),
        r2=float((1 - error / spread).mean()),
        mse=float(error.mean()),
        per_dimension=tuple(float(e) for e in error / np.maximum(variance, 1e-12)),
        ridge=ridge,
    )


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
