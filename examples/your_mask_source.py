"""A mask source of your own, scored against the simulator's masks.

This one is a colour key: a pixel belongs to the agent as far as its hue is near one that you name.
"""

import gymnasium as gym
import numpy as np

from masklam_envs import LazyFrames, collect
from masklam_envs.masks import register_mask_source
from masklam_envs.masks.quality import measure


class ColourKey:
    memory = 0  # earlier frames that a mask depends on: with a number it also makes masks while an episode runs

    def __init__(self, colour=(204, 153, 102), width=0.05):  # keyword arguments are the options, plain JSON values
        self.share, self.width = np.array(colour) / sum(colour), width

    def segment(self, frames, prompt=None):  # (T, H, W, 3) uint8 -> how sure it is, (T, H, W) float32 in [0, 1]
        shares = frames / np.maximum(frames.sum(axis=-1, keepdims=True, dtype=np.float32), 1)
        return np.exp(-(((shares - self.share) / self.width) ** 2).sum(axis=-1)).astype(np.float32)


register_mask_source("colour-key", f"{__name__}:ColourKey")

if __name__ == "__main__":  # python examples/your_mask_source.py
    recorded = collect("MaskCheetah-v0", episodes=2, seed=0, max_steps=50)
    masks = []
    for source in ("simulator", "colour-key"):
        env = gym.make("MaskCheetah-v0", distractor="action", mask_source=source)
        frames = LazyFrames(recorded, env)
        masks.append(frames.rows(np.arange(recorded.first_frame[-1]))[0][..., 3])
    quality = measure(masks[1], masks[0], recorded.lengths + 1)
    print(f"IoU {quality.iou_mean:.2f} over {len(masks[0])} frames, {quality.empty:.0%} of the masks are empty")
