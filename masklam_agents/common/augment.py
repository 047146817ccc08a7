"""Geometric augmentations, all of them one projective warp of the image."""

from __future__ import annotations

import numpy as np
import torch as th
from numpy.typing import NDArray
from torch.nn import functional as F

from masklam_agents.common.gather import PATCH
from masklam_agents.common.warped import NEAREST

# LAOM's ranges, for any image size: pixels of a 64-pixel-wide image, degrees, share of the half width.
SHIFT, ROTATION, PERSPECTIVE = 14 / 64, 90.0, 0.5
# One of these for every image: nothing, one transformation, or two of them after each other.
CHOICES: list[tuple[str, ...]] = [
    *((), ("shift",), ("rotate",), ("perspective",)),
    *(("shift", "rotate"), ("shift", "perspective"), ("rotate", "perspective")),
]


def random_warps(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Homographies (count, 3, 3) of LAOM's augmentation, each drawn on its own (protocol, section 1.3).

    They map places in the new image to places in the old one, in coordinates from -1 to 1.

    * shift: up to 14 of 64 pixels in x and in y
    * rotate: up to 90 degrees either way
    * perspective: every corner moves up to half the half width towards the centre, in x and in y
    """
    choice = rng.integers(len(CHOICES), size=count)
    made = {
        "shift": _shifts(rng.uniform(-2 * SHIFT, 2 * SHIFT, (count, 2))),
        "rotate": _rotations(np.deg2rad(rng.uniform(-ROTATION, ROTATION, count))),
        "perspective": _perspectives(rng.uniform(0, PERSPECTIVE, (count, 4, 2))),
    }
    warps = np.tile(np.eye(3), (count, 1, 1))
    for name, each in made.items():
        chosen = np.array([name in names for names in CHOICES])[choice]
        warps[chosen] = warps[chosen] @ each[chosen]
    return warps


def warp(images: th.Tensor, warps: NDArray[np.float64]) -> th.Tensor:
    """Images (B, C, H, W) under homographies (B, 3, 3); the edges are repeated."""
    height, width = images.shape[2:]
    matrix = th.from_numpy(warps).to(images)
    y, x = th.meshgrid(_centres(height, images), _centres(width, images), indexing="ij")
    place = th.stack((x, y, th.ones_like(x)), dim=-1).view(1, -1, 3) @ matrix.transpose(1, 2)
    depth = place[..., 2:].clamp(min=float(NEAREST))
    grid = (place[..., :2] / depth).view(len(images), height, width, 2)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def to_patches(images: th.Tensor, count: int) -> th.Tensor:
    """Stacks of images (B, count * C, H, W) in the layout ``"patches"`` of :mod:`masklam_agents.common.gather`."""
    batch, channels, height, width = images.shape
    each = channels // count
    x = images.view(batch, count, each, height // (2 * PATCH), 2, PATCH, width // (2 * PATCH), 2, PATCH)
    x = x.permute(0, 3, 6, 4, 7, 1, 5, 8, 2)
    return x.reshape(batch, -1, count * each * PATCH * PATCH)


def _centres(size: int, like: th.Tensor) -> th.Tensor:
    """Coordinates of the pixels' centres, -1 and 1 being the image's edges."""
    return (2 * th.arange(size, device=like.device, dtype=like.dtype) + 1) / size - 1


def _shifts(by: NDArray[np.float64]) -> NDArray[np.float64]:
    matrix = np.tile(np.eye(3), (len(by), 1, 1))
    matrix[:, :2, 2] = by
    return matrix


def _rotations(angle: NDArray[np.float64]) -> NDArray[np.float64]:
    matrix = np.tile(np.eye(3), (len(angle), 1, 1))
    matrix[:, 0, 0] = matrix[:, 1, 1] = np.cos(angle)
    matrix[:, 1, 0] = np.sin(angle)
    matrix[:, 0, 1] = -matrix[:, 1, 0]
    return matrix


def _perspectives(inwards: NDArray[np.float64]) -> NDArray[np.float64]:
    """The homographies that map the square's corners, moved inwards by (N, 4, 2), back to the corners."""
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float64)
    moved = corners * (1 - inwards)
    x, y = moved[..., 0], moved[..., 1]
    u, v = np.broadcast_to(corners[:, 0], x.shape), np.broadcast_to(corners[:, 1], x.shape)
    one, zero = np.ones_like(x), np.zeros_like(x)
    # Two equations a corner: u = (h0 x + h1 y + h2) / (h6 x + h7 y + 1), likewise v.
    rows = [
        np.stack((x, y, one, zero, zero, zero, -u * x, -u * y), axis=-1),
        np.stack((zero, zero, zero, x, y, one, -v * x, -v * y), axis=-1),
    ]
    solved = np.linalg.solve(np.concatenate(rows, axis=1), np.concatenate((u, v), axis=1)[..., None])[..., 0]
    return np.concatenate((solved, np.ones((len(solved), 1))), axis=1).reshape(-1, 3, 3)
