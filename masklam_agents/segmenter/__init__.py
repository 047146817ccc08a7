"""A small segmentation network for one agent: the mask source ``"student"``."""

from masklam_agents.segmenter.network import SegmenterNet
from masklam_agents.segmenter.training import train_segmenter

__all__ = ["SegmenterNet", "train_segmenter"]
