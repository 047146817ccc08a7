"""Learning rates over a stage, by hand and as the optimiser gets them."""

import math

import pytest
import torch as th
from stable_baselines3.common.callbacks import BaseCallback

from masklam_agents import LAPO
from masklam_agents.common.schedules import Schedule
from masklam_agents.methods import METHODS


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        (Schedule(), [1, 0.5 * (1 + math.cos(math.pi / 4)), 0.5, 0.5 * (1 - math.cos(math.pi / 4))]),
        (Schedule("linear"), [1, 0.75, 0.5, 0.25]),
        (Schedule("linear", last=0.2), [1, 0.8, 0.6, 0.4]),
        (Schedule("constant"), [1, 1, 1, 1]),
        (Schedule("constant", warm_up=0.75), [0, 1 / 3, 2 / 3, 1]),
        (Schedule("linear", warm_up=0.5, first=0.2), [0.2, 0.6, 1, 0.5]),
        (Schedule("cosine", warm_up=0.5, last=0.1), [0, 0.5, 1, 0.1 + 0.9 * 0.5]),
    ],
)
def test_rates_by_hand(schedule, rates):
    assert [schedule.at(update, 4) for update in range(4)] == pytest.approx(rates)


def test_the_cosine_is_pytorchs():
    optimizer = th.optim.SGD([th.zeros(1, requires_grad=True)], lr=1.0)
    theirs = th.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)
    for update in range(10):
        assert Schedule().at(update, 10) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()


def rate(name, stage, update):
    """Of a paper's preset, in units of the peak, at an update of its own budget."""
    method = METHODS[name]
    stages = list(method.load_class().stages)
    updates = round(method.options["stage_shares"][stages.index(stage)])
    return Schedule(**method.options["schedules"][stage]).at(update, updates)


def test_papers_rates():
    # LAPO: 0.1 -> 1 in 50 updates, then to 0.01 at 50,000; cloning 0.01 -> 1 in 1,000 of 60,000, then to 0.
    assert [rate("lapo-paper", "pretrain", n) for n in (0, 25, 50, 50_000)] == pytest.approx([0.1, 0.55, 1, 0.01])
    assert [rate("lapo-paper", "clone", n) for n in (0, 1_000, 60_000)] == pytest.approx([0.01, 1, 0], abs=1e-9)
    # LAOM: three of ten epochs of warm-up from 0, then to 0; cloning without warm-up.
    tenth = 97_656 / 10
    assert [rate("laom-paper", "pretrain", n * tenth) for n in (0, 1.5, 3, 6.5)] == pytest.approx(
        [0, 0.5, 1, 0.5], abs=1e-4
    )
    assert [rate("laom-labels-paper", "clone", n * tenth) for n in (0, 5)] == pytest.approx([1, 0.5], abs=1e-4)
    assert rate("idm-paper", "pretrain", 5_000) == 0.5


def test_the_optimiser_gets_the_schedule_of_its_stage(frames):
    agent = LAPO(
        dataset=frames,
        labels=20,
        batch_size=8,
        learning_rate=2e-3,
        policy_learning_rate=1e-3,
        schedules={"pretrain": {"shape": "linear", "warm_up": 0.5}, "decode": {"shape": "constant"}},
    )
    seen = {stage: [] for stage in agent.stages}

    class Watch(BaseCallback):
        def _on_step(self):
            stage = next(s for s in reversed(agent.stages) if agent.progress[s])
            seen[stage].append(agent._optimizer.param_groups[0]["lr"])
            return True

    for stage in agent.stages:
        agent._train_stage(stage, 8 * 4, Watch())
    assert seen["pretrain"] == pytest.approx([0, 1e-3, 2e-3, 1e-3])
    assert seen["clone"] == pytest.approx([1e-3 * Schedule().at(n, 4) for n in range(4)])
    assert seen["decode"] == [1e-3] * 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pretrian": {}}, "unknown stage of schedules 'pretrian'. Did you mean 'pretrain'"),
        ({"clone": {"warmup": 0.1}}, "unknown option of schedules\\['clone'\\] 'warmup'. Did you mean 'warm_up'"),
        ({"clone": {"shape": "cosin"}}, "unknown shape of a schedule 'cosin'. Did you mean 'cosine'"),
        ({"clone": {"warm_up": 1}}, "must leave updates after it"),
        ({"clone": {"first": -0.1}}, "first of a schedule must be a number in \\[0, 1\\], got -0.1"),
    ],
)
def test_errors_name_the_cure(options, message):
    with pytest.raises(ValueError, match=message):
        LAPO(schedules=options)
