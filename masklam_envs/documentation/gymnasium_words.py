"""What is said of Gymnasium's v5 environments, from their sources with default arguments."""

from __future__ import annotations

from masklam_envs.documentation.words import Words

FORWARD = "the speed forwards (+x, m/s)"
# How Gymnasium's resets move the model's own pose; `describe` fills in pose and scale.
UNIFORM = "Pose: {pose}; velocities 0. To each number is added a uniform one in [-{noise}, {noise}]."
NORMAL = (
    "Pose: {pose}; velocities 0. To each number of the pose is added a uniform one in [-{noise}, {noise}], to each "
    "velocity a normal one with a standard deviation of {noise}."
)

WORDS: dict[str, Words] = {
    "HalfCheetah-v5": Words(
        "A planar robot of nine limbs runs to the right.",
        f"{FORWARD} - 0.1 x the sum of squared actions.",
        start=NORMAL,
    ),
    "Hopper-v5": Words(
        "A planar leg hops to the right without falling.",
        f"1 for not having fallen + {FORWARD} - 0.001 x the sum of squared actions.",
        "the torso below 0.7 m or tilted by more than 0.2 rad, or another state beyond [-100, 100].",
        UNIFORM,
    ),
    "Walker2d-v5": Words(
        "A planar pair of legs walks to the right without falling.",
        f"1 for not having fallen + {FORWARD} - 0.001 x the sum of squared actions.",
        "the torso outside [0.8, 2] m or tilted by more than 1 rad.",
        UNIFORM,
    ),
    "Ant-v5": Words(
        "A body on four legs runs to the right.",
        f"1 for being upright + {FORWARD} - 0.5 x the sum of squared actions - 0.0005 x the sum of squared "
        "contact forces, each cut to [-1, 1].",
        "the torso outside [0.2, 1] m, or a state that is not finite.",
        NORMAL,
    ),
    "Humanoid-v5": Words(
        "A human figure runs to the right without falling.",
        f"5 for not having fallen + 1.25 x {FORWARD}, of the centre of mass - 0.1 x the sum of squared actions "
        "- 5e-7 x the sum of squared contact forces (at most 10).",
        "the torso outside [1, 2] m.",
        UNIFORM,
    ),
    "HumanoidStandup-v5": Words(
        "A human figure that lies on its back stands up.",
        "the torso's height over the model's time step (z / 0.003 s) + 1 - 0.1 x the sum of squared actions - 5e-7 x "
        "the sum of squared contact forces (at most 10).",
        start=UNIFORM,
    ),
    "Swimmer-v5": Words(
        "A chain of three links swims to the right in a viscous fluid.",
        f"{FORWARD} - 0.0001 x the sum of squared actions.",
        start=UNIFORM,
    ),
    "Reacher-v5": Words(
        "A planar arm of two links brings its fingertip to a target, which is elsewhere in every episode.",
        "minus the distance from fingertip to target, metres - the sum of squared actions.",
        start="The arm's two angles uniform in [-0.1, 0.1] rad, their velocities in [-0.005, 0.005] rad/s. The target "
        "uniform in the disc of 0.2 m around the arm's root, at rest.",
    ),
    "Pusher-v5": Words(
        "An arm of seven joints pushes a puck to a goal on a table.",
        "minus the distance from puck to goal, metres - half the distance from fingertips to puck - 0.1 x the sum of "
        "squared actions.",
        start="The arm's angles 0, their velocities uniform in [-0.005, 0.005] rad/s. Puck and goal at rest, the puck "
        "beside the goal by x uniform in [-0.2, 0.2] m and y in [-0.3, 0] m, at least 0.17 m away; the goal is where "
        "it always is.",
    ),
    "InvertedPendulum-v5": Words(
        "A cart on a rail keeps a pole upright.",
        "1 while the pole is upright.",
        "the pole tilted by more than 0.2 rad.",
        UNIFORM,
    ),
    "InvertedDoublePendulum-v5": Words(
        "A cart on a rail keeps two poles, one on the other, upright.",
        "10 while upright - (0.01 x^2 + (z - 2)^2) of the upper pole's tip, metres - (0.001 a^2 + 0.005 b^2) of the "
        "two angular velocities, rad/s.",
        "the upper pole's tip at 1 m or below.",
        NORMAL,
    ),
}
