"""Latent actions in two dimensions, to be looked at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from masklam_envs.errors import unknown_name
from masklam_envs.optional import require

PROJECTIONS = ("pca", "umap")


def principal_components(
    latents: NDArray[np.floating], count: int = 2
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The latents' coordinates along their directions of largest variance, by a singular value decomposition.

    Signs are those that make each direction's largest component positive, so that a picture does not flip by chance.

    :param latents: (N, D)
    :param count: directions; where the latents have fewer, the others are 0
    :return: (N, count) coordinates, and (count,) each one's share of the variance
    """
    centred = np.asarray(latents, np.float64) - np.mean(latents, axis=0, dtype=np.float64)
    _, values, directions = np.linalg.svd(centred, full_matrices=False)
    largest = np.abs(directions).argmax(axis=1)
    directions *= np.where(directions[np.arange(len(directions)), largest] < 0, -1.0, 1.0)[:, None]
    share = values**2 / max(float((values**2).sum()), 1e-300)
    missing = max(count - len(values), 0)
    coordinates = np.pad(centred @ directions[:count].T, ((0, 0), (0, missing)))
    return coordinates, np.pad(share[:count], (0, missing))


def umap(latents: NDArray[np.floating], seed: int = 0) -> NDArray[np.float64]:
    """UMAP with its defaults (McInnes et al. 2018), of standardised latents: (N, 2).

    :param latents: (N, D)
    :param seed: of its random numbers
    :raises ImportError: without the extra ``umap``
    """
    module = require("umap", "umap-learn", "umap")
    latents = np.asarray(latents, np.float64)
    standard = (latents - latents.mean(0)) / (latents.std(0) + 1e-8)
    return np.asarray(module.UMAP(n_components=2, random_state=seed).fit_transform(standard), np.float64)


def projected(latents: NDArray[np.floating], kind: str, seed: int = 0) -> tuple[NDArray[np.float64], tuple[str, str]]:
    """Coordinates (N, 2) by the name of a projection, and what its two axes are called.

    :raises ValueError: for an unknown name
    """
    if kind not in PROJECTIONS:
        raise ValueError(unknown_name("projection", kind, PROJECTIONS))
    if kind == "umap":
        return umap(latents, seed), ("UMAP 1", "UMAP 2")
    coordinates, share = principal_components(latents)
    return coordinates, (f"component 1 ({share[0]:.0%} of the variance)", f"component 2 ({share[1]:.0%})")
