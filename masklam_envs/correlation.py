"""How strongly a motion is correlated with the actions: the readout of the correlation knob.

A distractor's ``correlation`` is set as a number; :func:`correlation_of` measures it back from any motion (pan of the
background, optical flow, a latent) and the actions that went with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float64Array = NDArray[np.float64]

# Below this share of the largest value a spread is rounding, not motion.
RELATIVE_ROUNDING = 1e-9


@dataclass(frozen=True)
class Correlation:
    """Correlation of a motion (N, K) with actions (N, A).

    :param multiple_correlation: in [0, 1]; root of the mean over components of the adjusted R^2; what a distractor's
        ``correlation`` sets
    :param per_component: K numbers in [0, 1]; root of each component's adjusted R^2
    :param r2: share of the motion's variance that a linear map fitted on the first half of the samples explains on the
        second half, pooled over components; at most 1, below 0 where the map does worse than the mean
    :param canonical: min(K, A) canonical correlations in [0, 1], largest first
    :param samples: N
    """

    multiple_correlation: float
    per_component: tuple[float, ...]
    r2: float
    canonical: tuple[float, ...]
    samples: int


def correlation_of(motion: ArrayLike, actions: ArrayLike) -> Correlation:
    """Measure how much of a motion the actions explain linearly.

    :param motion: (N, K) displacements, any unit
    :param actions: (N, A) the actions of the same steps
    :return: The correlations; a motion component or an action dimension that never changes counts as uncorrelated.
    :raises ValueError: on shapes that do not fit, values that are not finite, or fewer than ``4 (A + K + 1)`` samples
    """
    moved, acted = _checked(motion, actions)
    samples = len(moved)
    motion_basis, action_basis = _basis(moved), _basis(acted)

    # R^2 of a regression with intercept is the share of the centred vector inside the span of the centred actions.
    centred = moved - moved.mean(axis=0)
    total = np.sum(centred**2, axis=0)
    total[_constant(moved)] = 0.0
    explained = np.sum((action_basis.T @ centred) ** 2, axis=0)
    share = np.divide(explained, total, out=np.zeros_like(total), where=total > 0)
    # Chance alone explains rank / N of a motion; the adjusted R^2 takes that away.
    adjusted = 1 - (1 - share) * (samples - 1) / (samples - action_basis.shape[1] - 1)
    adjusted[total == 0] = 0.0

    canonical = np.zeros(min(moved.shape[1], acted.shape[1]))
    found = np.linalg.svd(motion_basis.T @ action_basis, compute_uv=False)
    canonical[: len(found)] = np.clip(found, 0, 1)
    return Correlation(
        multiple_correlation=float(np.sqrt(np.clip(adjusted.mean(), 0, 1))),
        per_component=tuple(float(value) for value in np.sqrt(np.clip(adjusted, 0, 1))),
        r2=_held_out_r2(moved, acted),
        canonical=tuple(float(value) for value in canonical),
        samples=samples,
    )


def _checked(motion: ArrayLike, actions: ArrayLike) -> tuple[Float64Array, Float64Array]:
    moved, acted = np.asarray(motion, np.float64), np.asarray(actions, np.float64)
    if moved.ndim != 2 or acted.ndim != 2 or len(moved) != len(acted) or 0 in moved.shape[1:] + acted.shape[1:]:
        raise ValueError(
            f"motion must be (N, K) and actions (N, A) with equal N and K, A >= 1, got {moved.shape} and {acted.shape}"
        )
    for name, values in (("motion", moved), ("actions", acted)):
        if not np.isfinite(values).all():
            raise ValueError(f"{name} holds NaN or infinity; drop those samples from motion and actions alike")
    needed = 4 * (moved.shape[1] + acted.shape[1] + 1)
    if len(moved) < needed:
        raise ValueError(f"{len(moved)} samples are too few for a correlation; give at least {needed}, better 10,000")
    return moved, acted


def _constant(values: Float64Array) -> NDArray[np.bool_]:
    return np.ptp(values, axis=0) <= RELATIVE_ROUNDING * np.abs(values).max(axis=0)


def _basis(values: Float64Array) -> Float64Array:
    """Orthonormal columns that span the centred, changing columns of ``values``: (N, rank)."""
    changing = values[:, ~_constant(values)]
    if changing.shape[1] == 0:
        return np.zeros((len(values), 0))
    changing = changing - changing.mean(axis=0)
    left, scale, _ = np.linalg.svd(changing / changing.std(axis=0), full_matrices=False)
    return left[:, scale > RELATIVE_ROUNDING * scale[0]]


def _held_out_r2(moved: Float64Array, acted: Float64Array) -> float:
    # Halves are contiguous: neighbouring steps of one episode are too alike to sit on both sides of the split.
    half = len(moved) // 2
    design = np.hstack([acted, np.ones((len(acted), 1))])
    weights = np.linalg.lstsq(design[:half], moved[:half], rcond=None)[0]
    changing = ~_constant(moved)
    error = (moved[half:] - design[half:] @ weights)[:, changing]
    spread = (moved[half:] - moved[half:].mean(axis=0))[:, changing]
    total = float(np.sum(spread**2))
    return 1.0 - float(np.sum(error**2)) / total if total > 0 else 0.0
