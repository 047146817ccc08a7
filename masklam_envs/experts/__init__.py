"""Shipped experts: weights, their recorded returns, and the statistics of the actions they make.

>>> load_expert("MaskCheetah-v0").info.algorithm
'PPO'
"""

from __future__ import annotations

from importlib import resources

from masklam_envs.errors import unknown_name
from masklam_envs.experts.policy import Expert, ExpertInfo
from masklam_envs.tasks import TASKS, get_task

__all__ = ["STRENGTHS", "Expert", "ExpertInfo", "load_expert"]

#: the best policy of a training, and one about half way from random actions to it
STRENGTHS = ("expert", "medium")


def load_expert(task: str, strength: str = "expert") -> Expert:
    """The expert of a task.

    :param task: a registered id, e.g. ``"MaskCheetah-v0"``
    :param strength: ``"expert"``, or ``"medium"`` for a policy about half way from random actions to it
    :raises ValueError: when task or strength is unknown, or the task ships none
    """
    if strength not in STRENGTHS:
        raise ValueError(unknown_name("strength", strength, STRENGTHS))
    name = get_task(task).expert_file(strength)
    if name is None:
        shipped = sorted(t.id for t in TASKS.values() if t.expert_file(strength))
        kind = "expert" if strength == "expert" else f"{strength} expert"
        raise ValueError(f"{task} ships no {kind}; {shipped} do, or train one with examples/train_expert.py")
    with resources.as_file(resources.files(__name__).joinpath(name)) as path:
        return Expert.load(path)
