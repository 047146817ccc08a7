"""The modules of an agent: IDM, FDM, latent policy and action decoder, held together as a Stable-Baselines3 policy."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.policies import BasePolicy
from torch import nn

from masklam_agents.common.gather import frame_of_patches, gather
from masklam_agents.common.networks import NetworkFamily, get_network, to_layout
from masklam_agents.common.quantize import make_quantizer

DECODER_HIDDEN = (256, 256)
VIEWS = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))
IDM_INPUTS = ("stacks", "frames")


@contextlib.contextmanager
def evaluating(policy: BasePolicy) -> Iterator[None]:
    """Within it a policy answers as when it is trained: who asks in the middle of training changes nothing."""
    training = [module for module in policy.modules() if module.training]  # some may be: those that SB3 trains, too
    if training:
        policy.set_training_mode(False)
    try:
        yield
    finally:
        for module in training:
            module.training = True


class ActionDecoder(nn.Module):
    """Stage 3's decoder: latent action -> hidden layers -> action, on the frozen policy's output.

    The published code (protocol: ReLU -> 256 -> 256 -> linear) puts a ReLU on the latent itself, which throws the
    negative half of every dimension away, and leaves the latent in its arbitrary scale.  Here it is standardised.

    :param latent_dim: size of the latent action
    :param action_dim: size of the action
    :param hidden: widths of the hidden layers
    """

    mean: th.Tensor
    scale: th.Tensor

    def __init__(self, latent_dim: int, action_dim: int, hidden: Sequence[int] = DECODER_HIDDEN) -> None:
        super().__init__()
        self.hidden = tuple(hidden)
        self.register_buffer("mean", th.zeros(latent_dim))
        self.register_buffer("scale", th.ones(latent_dim))
        layers: list[nn.Module] = []
        for size_in, size_out in itertools.pairwise((latent_dim, *hidden)):
            layers += [nn.Linear(size_in, size_out), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear((latent_dim, *hidden)[-1], action_dim))

    def standardize(self, latents: th.Tensor) -> None:
        """Take mean and scale of latents (N, latent_dim)."""
        self.mean.copy_(latents.mean(dim=0))
        self.scale.copy_(latents.std(dim=0, correction=0).clamp(min=1e-6))

    def forward(self, z: th.Tensor) -> th.Tensor:
        """(B, latent_dim) -> (B, action_dim)."""
        return self.layers((z - self.mean) / self.scale)


class LatentActionPolicy(BasePolicy):
    """Everything that is learnt.

    :param observation_space: the environment's
    :param action_space: a bounded Box of shape (A,)
    :param image_size: side of a frame, pixels
    :param network: name of a network family
    :param latent_dim: size of the latent action
    :param frame_stack: frames of a stack
    :param mask_channel: whether IDM and FDM read the mask as a fourth channel of every frame
    :param latent: False: no IDM, FDM and decoder; the policy predicts actions itself (behaviour cloning)
    :param mask_input: IDM and FDM see the frames with everything outside the mask painted mid-grey
    :param bottleneck: what the latent goes through before the FDM: ``"none"``, ``"vq"`` or ``"fsq"``
    :param bottleneck_options: of it, see :mod:`masklam_agents.common.quantize`
    :param idm_input: ``"stacks"``: the IDM reads two stacks; ``"frames"``: the first and the last frame of the second
    :param decoder_hidden: widths of the decoder's hidden layers
    :param view_shift: acting takes the mean of five actions, of the frames as they are and looked at so many pixels
        aside in four directions, at five times the work; 0: of the frames as they are
    """

    latent_mean: th.Tensor
    latent_basis: th.Tensor

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Box,
        image_size: int,
        network: str,
        latent_dim: int,
        frame_stack: int,
        mask_channel: bool,
        latent: bool = True,
        mask_input: bool = False,
        bottleneck: str = "none",
        bottleneck_options: dict[str, Any] | None = None,
        idm_input: str = "stacks",
        decoder_hidden: Sequence[int] = DECODER_HIDDEN,
        view_shift: int = 0,
    ) -> None:
        super().__init__(observation_space, action_space)
        if isinstance(view_shift, bool) or not isinstance(view_shift, int) or not 0 <= view_shift < image_size:
            raise ValueError(f"view_shift must be a whole number of pixels in [0, {image_size}), got {view_shift!r}")
        self.view_shift = view_shift
        self.network, self.idm_input = network, idm_input
        family = get_network(network)
        self.mask_input = mask_input
        self.layout, self.policy_layout, self.residual = family.layout, family.policy_layout, family.residual
        self.mask_channel, self.frame_stack = mask_channel, frame_stack
        self.image_size = image_size
        size = int(np.prod(action_space.shape))
        channels = frame_stack * (4 if mask_channel else 3)
        if latent:
            self._make_models(family, channels, latent_dim)
            self.actor = family.policy(3 * frame_stack, image_size, latent_dim)
            self.decoder: nn.Module = ActionDecoder(latent_dim, size, decoder_hidden)
        else:
            self.actor = family.policy(3 * frame_stack, image_size, size)
            self.decoder = nn.Identity()
        # The actor's output is in coordinates of this basis about the mean; both are set when stage 2 begins.
        out_dim = latent_dim if latent else size
        self.register_buffer("latent_mean", th.zeros(out_dim))
        self.register_buffer("latent_basis", th.eye(out_dim))
        self.bottleneck = make_quantizer(bottleneck, latent_dim, bottleneck_options or {})
        if "image" in (self.layout, self.policy_layout):
            self.to(memory_format=th.channels_last)  # type: ignore[call-overload]

    def _make_models(self, family: NetworkFamily, channels: int, latent_dim: int) -> None:
        """Make ``idm`` and ``fdm``, for stacks of so many channels each."""
        seen = 2 * self.frame_stack if self.idm_input == "stacks" else self.frame_stack + 1
        self.idm = family.idm(seen * channels // self.frame_stack, self.image_size, latent_dim)
        self.fdm = family.fdm(channels, self.image_size, latent_dim)

    def joined(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
        """The frames that the IDM reads, of two stacks (B, frame_stack) each."""
        return np.concatenate((first, second if self.idm_input == "stacks" else second[:, -1:]), axis=1)

    def first_stack(self, x: th.Tensor) -> th.Tensor:
        """The first stack of a batch that the IDM reads: what the FDM reads."""
        dim = 1 if self.layout == "image" else -1
        frames = 2 * self.frame_stack if self.idm_input == "stacks" else self.frame_stack + 1
        return x.narrow(dim, 0, x.shape[dim] // frames * self.frame_stack)

    def next_frame(self, x: th.Tensor, z: th.Tensor, current: th.Tensor | None = None) -> th.Tensor:
        """The FDM's next frame (B, 3, H, W) of a batch that the IDM reads and its latents (B, latent_dim).

        :param current: what ``gathered_current`` returned; None: it is taken out of ``x``
        """
        stack = self.first_stack(x)
        predicted: th.Tensor = self.fdm(stack, z)
        if not self.residual:
            return predicted
        return predicted + (self._current_frame(stack) if current is None else current)

    def gathered_current(
        self, frames: NDArray[np.uint8], index: NDArray[np.int64], *, half: bool = False
    ) -> th.Tensor | None:
        """The frames (B, 3, H, W) whose change the FDM predicts; None where that needs no gathering.

        In patches they cost a tenth of an update to put together again.

        :param frames: (F, H, W, 4) uint8
        :param index: (B,) of the current frames
        """
        if not self.residual or self.layout == "image" or self.mask_input:
            return None
        gathered = gather(frames, index[:, None], mask_channel=False, layout="planes", half=half)
        return as_tensor(gathered).to(self.device, non_blocking=True)

    def _current_frame(self, stack: th.Tensor) -> th.Tensor:
        channels = 4 if self.mask_channel else 3
        if self.layout == "image":
            return stack[:, -channels:][:, :3]
        return frame_of_patches(stack, channels, self.image_size)

    def actor_input(
        self,
        frames: NDArray[np.uint8],
        index: NDArray[np.int64],
        shift: NDArray[np.int64] | None = None,
        *,
        half: bool = False,
    ) -> th.Tensor:
        """Frames (F, H, W, 4) chosen by index (B, n), on the policy's device, as the latent policy reads them.

        :param half: in bf16, for a network under autocast, else float32
        """
        gathered = gather(frames, index, mask_channel=False, layout=self.policy_layout, shift=shift, half=half)
        return to_layout(as_tensor(gathered).to(self.device, non_blocking=True), self.policy_layout)

    def models_input(self, frames: NDArray[np.uint8], index: NDArray[np.int64], *, half: bool = False) -> th.Tensor:
        """The same as IDM and FDM read it: with masks where they see any."""
        masked = self.mask_channel or self.mask_input
        gathered = gather(frames, index, mask_channel=masked, layout=self.layout, half=half)
        x = as_tensor(gathered).to(self.device, non_blocking=True)
        if self.mask_input:
            x = greyed(x, keep_mask=self.mask_channel)
        return to_layout(x, self.layout)

    def coded(self, z: th.Tensor) -> tuple[th.Tensor, th.Tensor | None]:
        """Latents (B, latent_dim) through the bottleneck, and the loss it adds, if any."""
        if self.bottleneck is None:
            return z, None
        code, loss = self.bottleneck(z)
        return code, loss

    def act_latent(self, stacks: th.Tensor) -> th.Tensor:
        """The latent policy: prepared RGB stacks to latent actions (B, latent_dim)."""
        return self.actor(stacks) @ self.latent_basis + self.latent_mean

    def forward(self, stacks: th.Tensor) -> th.Tensor:
        """Prepared RGB stacks to actions (B, A)."""
        return self.decoder(self.act_latent(stacks))

    def _predict(self, observation: Any, deterministic: bool = True) -> th.Tensor:
        """Actions of stacked frames (B, n, H, W, 3) uint8."""
        stacks = np.asarray(observation)
        frames = np.zeros((stacks.shape[0] * stacks.shape[1], *stacks.shape[2:4], 4), np.uint8)
        frames[..., :3] = stacks.reshape(-1, *stacks.shape[2:])
        index = np.arange(len(frames)).reshape(stacks.shape[:2])
        if not self.view_shift:
            return self(self.actor_input(frames, index))
        views = [np.tile(self.view_shift * np.array(aside), (len(index), 1)) for aside in VIEWS]
        return th.stack([self(self.actor_input(frames, index, view)) for view in views]).mean(dim=0)


def as_tensor(gathered: NDArray[np.float32] | NDArray[np.int16]) -> th.Tensor:
    """Gathered frames as float32, or bf16 where they came as its bits."""
    x = th.from_numpy(gathered)
    return x.view(th.bfloat16) if x.dtype == th.int16 else x


def greyed(x: th.Tensor, keep_mask: bool) -> th.Tensor:
    """Gathered frames (..., n * 4), their colours times their masks: (..., n * 3), or (..., n * 4) with masks kept."""
    pixels = x.unflatten(-1, (-1, 4))
    rgb, mask = pixels[..., :3] * pixels[..., 3:], pixels[..., 3:]
    return (th.cat((rgb, mask), dim=-1) if keep_mask else rgb).flatten(-2)
