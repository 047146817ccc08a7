"""A distractor of your own: the camera shakes the harder, the faster the robot's joints move."""

import gymnasium as gym
import numpy as np

from masklam_envs.distractors import Part, register_distractor
from masklam_envs.rendering.look import CameraChange


class Shake(Part):
    width = 2  # columns of the row, which is all that a part remembers: yaw and pitch, radians

    def __init__(self, context, *, gain=0.002):  # keyword-only parameters are the options, numbers and names
        super().__init__(context)
        self.gain, self.nq = gain, context.scene_for("shake").nq

    def start(self, rng):  # the row of the first frame
        return np.zeros(2)

    def advance(self, rng, row, actions, states):  # the rows after T steps; states (T, nq + nv) are before each step
        speed = np.add.reduce(np.abs(states[:, self.nq :]), axis=1)  # no matrix product: see docs/distractors.md
        return self.gain * speed[:, None] * rng.standard_normal((len(states), 2))

    def paint(self, row, backdrop):  # what a row looks like
        backdrop.camera = CameraChange(yaw=row[0], pitch=row[1])


register_distractor("shake", f"{__name__}:Shake")
if __name__ == "__main__":
    print(gym.make("MaskCheetah-v0", distractor=["video", "shake"]).reset(seed=0)[0]["pixels"].shape)
