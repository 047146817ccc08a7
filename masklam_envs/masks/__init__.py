"""Agent masks: what they show, where they come from and what is wrong with them."""

from masklam_envs.masks.episode import EpisodeFaults, MaskFault, Seen
from masklam_envs.masks.faults import make_faults
from masklam_envs.masks.sources import MaskSource, make_mask_source, register_mask_source, segment, source_names
from masklam_envs.masks.target import TARGETS, target_bodies

__all__ = [
    "TARGETS",
    "EpisodeFaults",
    "MaskFault",
    "MaskSource",
    "Seen",
    "make_faults",
    "make_mask_source",
    "register_mask_source",
    "segment",
    "source_names",
    "target_bodies",
]
