"""Draw docs/pictures/distractors.png: one recorded trajectory under the distractors, with the agent's mask outlined.

Run ``python docs/pictures/make_distractors.py``.
"""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import numpy as np
from matplotlib.figure import Figure

from masklam_envs import collect, render_frames
from masklam_envs.pictures import outlined

ROWS = {
    "none": {"distractor": "none"},
    "video": {"distractor": "video"},
    "action, 0.9": {"distractor": "action", "correlation": 0.9},
}
FIRST, STEP, COLUMNS = 100, 2, 8


def main() -> None:
    """Draw the picture beside this file."""
    trajectories = collect("MaskCheetah-v0", 1, seed=3, max_steps=FIRST + STEP * COLUMNS)
    figure = Figure(figsize=(1.25 * COLUMNS, 1.3 * len(ROWS)), layout="constrained")
    axes = np.asarray(figure.subplots(len(ROWS), COLUMNS))
    for line, (name, options) in zip(axes, ROWS.items(), strict=True):
        frames = render_frames(trajectories, gym.make("MaskCheetah-v0", **options))
        line[0].set_ylabel(name)
        for i, axis in enumerate(line):
            at = FIRST + STEP * i
            axis.imshow(outlined(frames.pixels[at], frames.mask[at]))
            axis.set(xticks=[], yticks=[])
    figure.savefig(Path(__file__).with_name("distractors.png"), dpi=90)


if __name__ == "__main__":
    main()
