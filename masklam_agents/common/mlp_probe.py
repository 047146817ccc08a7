"""The nonlinear probe: what a small network reads from a latent action that no linear map does."""

from __future__ import annotations

import numpy as np
import torch as th
from numpy.typing import NDArray
from torch import nn

from masklam_agents.common.probe import ProbeResult, checked_samples, scored
from masklam_agents.common.seeded import seeded

HIDDEN = 128
BATCH = 128
EPOCHS = 60
PATIENCE = 8
LEARNING_RATE = 1e-3


def mlp_probe(
    train_latents: NDArray[np.floating],
    train_actions: NDArray[np.floating],
    test_latents: NDArray[np.floating],
    test_actions: NDArray[np.floating],
    seed: int = 0,
) -> ProbeResult:
    """As :func:`~masklam_agents.common.probe.linear_probe`, by a network: two hidden layers of 128, ReLU, AdamW 1e-3.

    Latents and actions are standardised by the training samples.  The network is trained on their first four fifths for
    at most 60 passes; the weights with the least error on the last fifth are kept, and training ends when that has not
    fallen for 8 passes.

    :param train_latents: (N, D)
    :param train_actions: (N, A)
    :param test_latents: (M, D)
    :param test_actions: (M, A)
    :param seed: of weights and batches
    :return: its ``ridge`` is None
    :raises ValueError: as ``linear_probe``
    """
    z, a, z_test, a_test = checked_samples(train_latents, train_actions, test_latents, test_actions)
    mean, std, middle, spread = z.mean(0), z.std(0) + 1e-8, a.mean(0), a.std(0) + 1e-8
    inputs, targets = ((th.from_numpy(x).float()) for x in ((z - mean) / std, (a - middle) / spread))
    with seeded(seed, th.device("cpu")):
        network = _trained(inputs, targets)

    def fit(latents: NDArray[np.float64]) -> NDArray[np.float64]:
        with th.no_grad():
            out = network(th.from_numpy((latents - mean) / std).float())
        return out.double().numpy() * spread + middle

    return scored(fit, z, a, z_test, a_test, ridge=None)


def _trained(inputs: th.Tensor, targets: th.Tensor) -> nn.Module:
    """The network with the least error on the last fifth of the samples."""
    sizes = (inputs.shape[1], HIDDEN, HIDDEN, targets.shape[1])
    network = nn.Sequential(
        *(nn.Linear(*sizes[:2]), nn.ReLU()), *(nn.Linear(*sizes[1:3]), nn.ReLU()), nn.Linear(*sizes[2:])
    )
    optimizer = th.optim.AdamW(network.parameters(), LEARNING_RATE, fused=True)
    cut = len(inputs) * 4 // 5
    best, kept, since = float("inf"), network.state_dict(), 0
    for _ in range(EPOCHS):
        for rows in th.randperm(cut).split(BATCH):
            optimizer.zero_grad(set_to_none=True)
            nn.functional.mse_loss(network(inputs[rows]), targets[rows]).backward()
            optimizer.step()
        with th.no_grad():
            error = float(nn.functional.mse_loss(network(inputs[cut:]), targets[cut:]))
        since += 1
        if error < best:
            best, since = error, 0
            kept = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        if since == PATIENCE:
            break
    network.load_state_dict(kept)
    return network
