"""The action statistics a correlation is set against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

# A direction in which the actions hardly vary is not amplified more than 1 / sqrt(this): otherwise a small step of
# another policy in that direction would throw the background across the image.
EIGENVALUE_FLOOR = 1e-4
# Below this share of the largest variance a dimension counts as constant.
CONSTANT_VARIANCE = 1e-8


@dataclass(frozen=True, eq=False)
class Whitening:
    """Statistics of samples some of whose dimensions may never change: ``w(x) = matrix @ (x - mean)``.

    Under the distribution that they were made of, ``w`` has mean 0 and the identity as covariance.

    :param mean: (S,) float64
    :param matrix: (R, S) float64, R the number of dimensions that change; the other columns are zero
    """

    mean: NDArray[np.float64]
    matrix: NDArray[np.float64]

    @classmethod
    def from_samples(cls, samples: ArrayLike) -> Whitening:
        """Whitening of recorded samples (N, S): the symmetric inverse root of their correlation matrix.

        Eigenvalues below ``EIGENVALUE_FLOOR`` of the largest are raised to it.

        :raises ValueError: on a wrong shape, or when nothing changes
        """
        values = np.asarray(samples, np.float64)
        if values.ndim != 2 or len(values) <= values.shape[1]:
            raise ValueError(f"samples must be (N, S) with N > S, got shape {values.shape}; record more steps")
        spread = values.std(axis=0)
        changing = np.flatnonzero(spread**2 > CONSTANT_VARIANCE * max(float((spread**2).max()), 1e-300))
        if not changing.size:
            raise ValueError("no dimension of the samples ever changes")
        scaled = (values - values.mean(axis=0))[:, changing] / spread[changing]
        found, vectors = np.linalg.eigh(scaled.T @ scaled / len(scaled))
        scale = 1 / np.sqrt(np.maximum(found, EIGENVALUE_FLOOR * found.max()))
        matrix = np.zeros((changing.size, values.shape[1]))
        matrix[:, changing] = (vectors * scale) @ vectors.T / spread[changing]
        return cls(values.mean(axis=0), matrix)


@dataclass(frozen=True, eq=False)
class ActionReference:
    """Mean and whitening of the actions of a reference policy: ``w(a) = whitening @ (a - mean)``.

    Under that policy ``w`` has mean 0 and the identity as covariance, so a motion ``rho P w + sqrt(1 - rho^2) eps`` has
    multiple correlation ``rho`` with the action.  Equal when both arrays are equal.

    :param mean: (A,) float64, in the action's unit
    :param whitening: (A, A) float64, in 1 / the action's unit
    """

    mean: NDArray[np.float64]
    whitening: NDArray[np.float64]

    def __post_init__(self) -> None:
        mean, whitening = np.array(self.mean, np.float64), np.array(self.whitening, np.float64)
        if mean.ndim != 1 or mean.size == 0 or whitening.shape != (mean.size, mean.size):
            raise ValueError(f"mean must be (A,) and whitening (A, A), got {mean.shape} and {whitening.shape}")
        if not (np.isfinite(mean).all() and np.isfinite(whitening).all()):
            raise ValueError("mean and whitening must be finite; an unbounded action space needs from_samples")
        mean.flags.writeable = whitening.flags.writeable = False
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "whitening", whitening)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ActionReference):
            return NotImplemented
        return np.array_equal(self.mean, other.mean) and np.array_equal(self.whitening, other.whitening)

    def __hash__(self) -> int:
        return hash((self.mean.tobytes(), self.whitening.tobytes()))

    @property
    def size(self) -> int:
        """The number of action dimensions, A."""
        return int(self.mean.size)

    @classmethod
    def uniform(cls, low: ArrayLike, high: ArrayLike) -> ActionReference:
        """The reference of actions drawn uniformly from a box.

        :param low: (A,) lower bounds
        :param high: (A,) upper bounds, each above its lower bound
        :raises ValueError: when a bound is infinite or a side of the box is empty
        """
        lower, upper = np.asarray(low, np.float64), np.asarray(high, np.float64)
        if lower.shape != upper.shape or not (np.isfinite(lower).all() and np.isfinite(upper).all()):
            raise ValueError(f"low and high must be finite and of one shape, got {lower} and {upper}; use from_samples")
        if not (upper > lower).all():
            raise ValueError(f"high must be above low in every dimension, got low {lower} and high {upper}")
        # The variance of a uniform variable is its range squared over 12.
        return cls((lower + upper) / 2, np.diag(np.sqrt(12.0) / (upper - lower)))

    @classmethod
    def from_samples(cls, actions: ArrayLike) -> ActionReference:
        """The reference of recorded actions: :meth:`from_covariance` of their mean and covariance.

        :param actions: (N, A), N > A
        :raises ValueError: on a wrong shape, values that are not finite, or a dimension that never changes
        """
        samples = np.asarray(actions, np.float64)
        if samples.ndim != 2 or samples.shape[1] == 0 or samples.shape[0] <= samples.shape[1]:
            raise ValueError(f"actions must be (N, A) with N > A >= 1, got shape {samples.shape}; record more steps")
        if not np.isfinite(samples).all():
            raise ValueError("actions hold NaN or infinity; drop those samples")
        return cls.from_covariance(samples.mean(axis=0), np.atleast_2d(np.cov(samples, rowvar=False)))

    @classmethod
    def from_covariance(cls, mean: ArrayLike, covariance: ArrayLike) -> ActionReference:
        """The reference of actions with these statistics; whitening is the symmetric inverse root of the covariance.

        Eigenvalues below ``EIGENVALUE_FLOOR`` of the largest are raised to it.

        :param mean: (A,)
        :param covariance: (A, A), symmetric
        :raises ValueError: on a wrong shape, values that are not finite, or a dimension that never changes, since no
            motion can be correlated with it
        """
        centre, spread = np.asarray(mean, np.float64), np.asarray(covariance, np.float64)
        if centre.ndim != 1 or centre.size == 0 or spread.shape != (centre.size, centre.size):
            raise ValueError(f"mean must be (A,) and covariance (A, A), got {centre.shape} and {spread.shape}")
        if not np.isfinite(spread).all():
            raise ValueError("the covariance holds NaN or infinity")
        variance = np.diag(spread)
        constant = np.flatnonzero(variance <= CONSTANT_VARIANCE * variance.max())
        if constant.size:
            raise ValueError(
                f"action dimensions {constant.tolist()} never change under this reference; add action noise to the "
                "reference policy or use ActionReference.uniform(low, high)"
            )
        values, vectors = np.linalg.eigh(spread)
        scale = 1 / np.sqrt(np.maximum(values, EIGENVALUE_FLOOR * values.max()))
        return cls(centre, (vectors * scale) @ vectors.T)

    def to_json(self) -> dict[str, Any]:
        """Plain lists: ``{"mean": [A], "whitening": [A][A]}``; exact, since JSON keeps a float's shortest repr."""
        return {"mean": self.mean.tolist(), "whitening": self.whitening.tolist()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ActionReference:
        """The inverse of :meth:`to_json`.

        :raises ValueError: when a key is missing or a shape is wrong
        """
        missing = {"mean", "whitening"} - set(data)
        if missing:
            raise ValueError(f"an action reference needs the keys 'mean' and 'whitening'; missing {sorted(missing)}")
        return cls(np.asarray(data["mean"], np.float64), np.asarray(data["whitening"], np.float64))
