"""Shipped experts: weights, their recorded returns, and the statistics of the actions they make.

>>> load_expert("MaskCheetah-v0").info.algorithm
'PPO'
"""

from __future__ import annotations

from importlib import resources

from masklam_envs.experts.policy import Expert, ExpertInfo
from masklam_envs.tasks import TASKS, get_task

__all__ = ["Expert", "ExpertInfo", "load_expert"]


def load_expert(task: str) -> Expert:
    """The expert of a task.

    :param task: a registered id, e.g. ``"MaskCheetah-v0"``
    :raises ValueError: when the task is unknown or ships no expert
    """
    name = get_task(task).expert
    if name is None:
        shipped = sorted(t.id for t in TASKS.values() if t.expert)
        raise ValueError(f"{task} ships no expert; {shipped} do, or train one with examples/train_expert.py")
    with resources.as_file(resources.files(__name__).joinpath(name)) as path:
        return Expert.load(path)
