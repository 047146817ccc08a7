"""Write docs/experts.md from the shipped experts' own records.

Run ``python docs/make_experts.py``; a test compares the file with what this would write.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from masklam_envs import collect
from masklam_envs.experts import Expert, load_expert
from masklam_envs.tasks import TASKS, Task

#: the return that was asked of each task's expert
ASKED = {
    "MaskCheetah-v0": 8_000,
    "MaskHopper-v0": 3_000,
    "MaskWalker-v0": 4_000,
    "MaskAnt-v0": 4_500,
    "MaskHumanoid-v0": 5_000,
    "MaskHumanoidStandup-v0": 130_000,
    "MaskSwimmer-v0": 300,
    "MaskReacher-v0": -4,
    "MaskPusher-v0": -30,
    "MaskInvertedPendulum-v0": 1_000,
    "MaskInvertedDoublePendulum-v0": 9_300,
}

#: where random actions cost more than they do
COSTLY = ("MaskReacher-v0", "MaskPusher-v0")
EPISODES = 50

HEAD = """# Experts

<!-- Written by docs/make_experts.py from the records in masklam_envs/experts/*.safetensors. -->

```python
from masklam_envs import collect, load_expert

expert = load_expert("MaskCheetah-v0")  # or load_expert("MaskCheetah-v0", "medium")
expert.predict(state)                   # of the base environment's observation: the action, float32, within its bounds
expert.info                             # returns, steps, seed, command
collect("MaskCheetah-v0", 10, policy="medium")
```

The NumPy policies need neither torch nor Stable-Baselines3, and their files keep a checksum. `expert` is the best
policy of a training, `medium` a checkpoint on the way, about half way from random actions to the expert. A distractor's
correlation is exact under the task's reference policy, which is its expert with Gaussian action noise (uniform random
actions in environments without one). `collect` also takes `policy="mixed"` and `noise=`: [datasets.md](datasets.md).

Returns are means and standard deviations over 50 episodes of the deterministic policies, with resets that training's
own evaluations did not see (the first cheetah's did). "Asked" is the return that the task's expert was to have.

| task | asked | expert | random | medium | algorithm | steps | noise of the reference |
|---|---|---|---|---|---|---|---|
"""

HALF_WAY = """
In Reacher and Pusher random actions cost more than they do, so half way is counted from doing nothing useful:
{below}.
"""

HOW = """
## How they were trained

`python examples/train_expert.py --task MaskHopper-v0`, one core, hyperparameters in
[examples/experts.yaml](../examples/experts.yaml): PPO with normalised states and rewards, and for Swimmer augmented
random search, which finds a linear policy in a minute where PPO stayed at half the return. The action noise of PPO's
exploration is mostly held at 0.3 of the action's bound, so that a policy learns to bear it, and training ends when an
evaluation is good enough. The policies of Ant and Humanoid read positions and velocities alone (weights of what else
the observation holds are 0), which learns faster. `--statistics-only` chooses and measures again among the checkpoints.

The commands as recorded, seed included:

"""


def document() -> str:
    """The whole page."""
    tasks = TASKS.values()
    half_way = HALF_WAY.format(below=";\n".join(map(_half_way, COSTLY)))
    return HEAD + "".join(map(_row, tasks)) + half_way + HOW + "".join(map(_commands, tasks))


def _row(task: Task) -> str:
    info = load_expert(task.id).info
    expert = f"{_return(load_expert(task.id))}{'' if info.return_mean >= ASKED[task.id] else ', **missed**'}"
    medium = _return(load_expert(task.id, "medium"))
    figures = f"{info.algorithm} | {info.timesteps:,} | {info.reference_noise:g}"
    return f"| {task.id} | {ASKED[task.id]:,} | {expert} | {info.random_return:,.1f} | {medium} | {figures} |\n"


def _return(expert: Expert) -> str:
    return f"{expert.info.return_mean:,.1f} ± {expert.info.return_std:,.1f}"


def _half_way(env_id: str) -> str:
    """Where the medium is between no action at all and the expert, both over as many episodes."""
    expert, medium = load_expert(env_id), load_expert(env_id, "medium").info
    still = np.zeros_like(expert.action_mean)
    low = float(collect(env_id, EPISODES, policy=lambda state: still).returns.mean())
    share = (medium.return_mean - low) / (expert.info.return_mean - low)
    return f"{env_id} returns {low:.1f} without any action, from where its medium has gone {share:.0%} of the way"


def _commands(task: Task) -> str:
    expert, medium = load_expert(task.id).info, load_expert(task.id, "medium").info
    return (
        f"- {task.id}, seed {expert.seed}: `{expert.command}`\n"
        f"  - medium, after {medium.timesteps:,} steps: `{medium.command}`\n"
    )


if __name__ == "__main__":
    Path(__file__).with_name("experts.md").write_text(document())
