"""Network families by name: the inverse model (IDM), the forward model (FDM) and the policy of one latent action model.

Every family reads frames in one of the layouts of :mod:`masklam_agents.common.gather` and makes three modules:

* IDM: frames of two stacks -> latent action (B, latent_dim)
* FDM: frames of one stack, latent action -> next frame (B, 3, H, W) in [-0.5, 0.5]
* policy: RGB frames of one stack -> (B, out_dim)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch as th
from torch import nn

from masklam_agents.common import impala, lean, small, strided, unet
from masklam_envs.errors import unknown_name

Builder = Callable[[int, int, int], nn.Module]
#: what agents take as ``network``: the name of a family, or a function that makes one
Network = str | Callable[[], "NetworkFamily"]


@dataclasses.dataclass(frozen=True)
class NetworkFamily:
    """Builders that take ``(input channels, image size, output size)``.

    :param layout: in which IDM and FDM read frames, ``"image"`` or ``"patches"``
    :param idm: makes the inverse model
    :param fdm: makes the forward model; its third argument is the latent's size
    :param policy: makes the policy
    :param policy_layout: in which the policy reads frames; empty: in the other two's
    :param residual: whether the FDM's output is the change of the current frame, rather than the next frame
    """

    layout: str
    idm: Builder
    fdm: Builder
    policy: Builder
    policy_layout: str = ""
    residual: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "policy_layout", self.policy_layout or self.layout)


NETWORKS: dict[str, NetworkFamily] = {
    "small": NetworkFamily("patches", small.PatchEncoder, small.PatchDecoder, small.PatchEncoder, residual=True),
    # The small network's models with a policy that sees more, at more cost.
    "lean": NetworkFamily("patches", small.PatchEncoder, small.PatchDecoder, lean.lean_policy, "image", residual=True),
    "impala": NetworkFamily("image", impala.impala_idm, impala.ImpalaFDM, impala.impala_policy),  # MaskLAM's
    "lapo": NetworkFamily("image", unet.lapo_encoder, unet.UNetFDM, unet.lapo_encoder),
    # LAOM and IDM make their own models of images, and with this family exactly those of LAOM's paper.
    "laom": NetworkFamily("image", impala.impala_idm, impala.ImpalaFDM, strided.PooledPolicy),
}
NETWORKS["paper"] = NETWORKS["impala"]  # MaskLAM's; methods of another paper have ``paper_network``


def get_network(name: str) -> NetworkFamily:
    """The family of that name.

    :raises ValueError: when there is none
    """
    if name not in NETWORKS:
        hint = f". Load the agent with network={name.split(':')[1]}" if ":" in name else ""
        raise ValueError(unknown_name("network", name, NETWORKS) + hint)
    return NETWORKS[name]


def named(network: Network) -> str:
    """The name of a family: of a function's, which is known by its module and name from here on.

    A file names the function and never imports it: load such an agent with ``network=function``, or where the agent
    was made.

    :raises TypeError: when it is no name and no function of one that makes a :class:`NetworkFamily`
    """
    if isinstance(network, str):
        return network
    name = f"{getattr(network, '__module__', '')}:{getattr(network, '__qualname__', '')}"
    family = network() if callable(network) and name.count("<lambda>") == 0 and not name.endswith(":") else None
    if not isinstance(family, NetworkFamily):
        raise TypeError(
            "network must be a name or a function (no lambda) without arguments that returns a NetworkFamily, "
            f"got {network!r}"
        )
    NETWORKS[name] = family
    return name


def count_parameters(module: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def to_layout(x: th.Tensor, layout: str) -> th.Tensor:
    """A gathered batch as the network reads it: (B, C, H, W) in channels-last memory, or (B, tokens, features)."""
    return x.permute(0, 3, 1, 2) if layout == "image" else x
