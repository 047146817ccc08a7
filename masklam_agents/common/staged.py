"""Training in stages behind SB3's interface: the loop that counts samples, logs, stops, resumes and shares batches."""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from abc import abstractmethod
from collections.abc import Callable, Generator
from typing import Any, ClassVar, Self

import numpy as np
import torch as th
from stable_baselines3.common import utils
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.type_aliases import MaybeCallback

from masklam_agents.common.ahead import LossOf, PreparedLoss
from masklam_agents.common.checks import is_integer, is_number
from masklam_agents.common.processes import called, processes
from masklam_agents.common.schedules import RATES, Schedule

LOG_EVERY = 50


class StagedAlgorithm(BaseAlgorithm):
    """An algorithm that trains modules of its policy stage after stage; a stage says what its losses are.

    :param config: arguments by name: ``seed``, ``batch_size``, ``weight_decay``, learning rates, their ``schedules``,
        and what a method adds
    :param kwargs: of SB3's ``BaseAlgorithm``
    """

    #: the stages in order, and the modules each trains
    stages: ClassVar[dict[str, tuple[str, ...]]] = {}
    #: batches that a thread prepares while the loop trains; 0: no thread.  The weights are the same
    prepare_ahead = 2

    def __init__(self, config: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config = config
        #: updates done in each stage of the current ``learn``
        self.progress = dict.fromkeys(self.stages, 0)
        self._optimizer: th.optim.Optimizer | None = None
        self._averaged: Callable[[Callable[[], th.Tensor]], th.Tensor] = called
        self._optimizer_state: dict[str, th.Tensor] = {}

    # ------------------------------------------------------------------ what a method says

    @abstractmethod
    def _losses(self, stage: str) -> tuple[Callable[[int], LossOf], int]:
        """The loss of an update by its number, and how many updates share one (0: all)."""

    @abstractmethod
    def _warn_of_data(self, first: bool) -> None:
        """Say what is wrong with the data before training begins.

        :param first: whether this is the first of the processes that train together
        """

    def _after_update(self, stage: str) -> None:
        """What follows an optimiser step, e.g. a moving average of weights."""

    def _leaves_parameters(self, stage: str) -> bool:
        """Whether a stage's loss may not depend on all parameters of its modules."""
        return False

    def _health(self, stage: str) -> dict[str, float]:
        """Further numbers for the log, by their names."""
        return {}

    def shares(self) -> list[float]:
        """Shares of the samples that the stages get."""
        return list(self.config.get("stage_shares", [1.0]))

    # ------------------------------------------------------------------ training

    def learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = LOG_EVERY,
        tb_log_name: str | None = None,
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> Self:
        """Run the stages.

        :param total_timesteps: samples in all, shared out by ``stage_shares``
        :param callback: SB3 callbacks; a step is an update
        :param log_interval: updates between log lines
        :param tb_log_name: name of the TensorBoard run; None: the class's name
        :param reset_num_timesteps: False: go on with an interrupted run, up to the same ``total_timesteps``
        :param progress_bar: show one per stage
        """
        check_samples(total_timesteps)
        if reset_num_timesteps:
            self._forget(*self.stages)
        updates = self.stage_updates(total_timesteps)
        return self._train(updates, total_timesteps, callback, log_interval, tb_log_name, progress_bar)

    def pretrain(self, total_timesteps: int, callback: MaybeCallback = None, **kwargs: Any) -> Self:
        """Run stage 1 alone, for so many samples; other arguments as in :meth:`learn`.

        ``pretrain``, ``clone`` and ``decode`` after each other are ``learn`` with the same samples for each.

        :raises ValueError: when the method has no such stage
        """
        return self._train_stage("pretrain", total_timesteps, callback, **kwargs)

    def clone(self, total_timesteps: int, callback: MaybeCallback = None, **kwargs: Any) -> Self:
        """Run stage 2 alone, see :meth:`pretrain`."""
        return self._train_stage("clone", total_timesteps, callback, **kwargs)

    def decode(self, total_timesteps: int, callback: MaybeCallback = None, **kwargs: Any) -> Self:
        """Run stage 3 alone, see :meth:`pretrain`."""
        return self._train_stage("decode", total_timesteps, callback, **kwargs)

    def _train_stage(
        self,
        stage: str,
        total_timesteps: int,
        callback: MaybeCallback,
        log_interval: int = LOG_EVERY,
        tb_log_name: str | None = None,
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> Self:
        if stage not in self.stages:
            raise ValueError(f"{type(self).__name__} has no stage {stage!r}; it has {', '.join(self.stages)}")
        check_samples(total_timesteps)
        if reset_num_timesteps:
            self._forget(stage)
        updates = {stage: max(round(total_timesteps / self.config["batch_size"]), 1)}
        return self._train(updates, total_timesteps, callback, log_interval, tb_log_name, progress_bar)

    def _forget(self, *stages: str) -> None:
        """These stages begin anew."""
        for stage in stages:
            self.num_timesteps -= self.progress[stage] * self.config["batch_size"]
            self.progress[stage] = 0
        if not any(self.progress.values()):
            self.num_timesteps = 0  # whatever batches an earlier run had
        self._optimizer, self._optimizer_state = None, {}

    def _train(
        self,
        updates: dict[str, int],
        total_timesteps: int,
        callback: MaybeCallback,
        log_interval: int,
        tb_log_name: str | None,
        progress_bar: bool,
    ) -> Self:
        """Run stages, each up to so many updates."""
        if not is_integer(log_interval, 1):
            raise ValueError(f"log_interval must be an integer >= 1, updates between log lines, got {log_interval!r}")
        self._optimizer, self._optimizer_state = None, self._momenta()
        first = not processes().rank
        self._warn_of_data(first)
        self._total_timesteps = total_timesteps
        self.start_time, self._num_timesteps_at_start = time.time_ns(), self.num_timesteps
        if not self._custom_logger or not first:
            name = tb_log_name or type(self).__name__
            folder, verbose = (self.tensorboard_log, self.verbose) if first else (None, 0)
            self._logger = utils.configure_logger(verbose, folder, name, not self.num_timesteps)
        hook = self._init_callback(callback if first else None)
        hook.on_training_start(locals(), globals())
        for stage, count in updates.items():
            if not self._run_stage(stage, count, hook, log_interval, progress_bar):
                break
        hook.on_training_end()
        return self

    def stage_updates(self, total_timesteps: int) -> dict[str, int]:
        """Updates that each stage gets of so many samples; at least one, unless its share is 0."""
        shares, batch = self.shares(), self.config["batch_size"]
        return {
            stage: max(round(total_timesteps * share / sum(shares) / batch), share > 0)
            for stage, share in zip(self.stages, shares, strict=True)
        }

    def _run_stage(self, stage: str, updates: int, hook: BaseCallback, log_interval: int, progress_bar: bool) -> bool:
        """Train one stage up to so many updates; False when a callback stopped it."""
        first = self.progress[stage]
        if first >= updates:
            return True
        from tqdm.auto import tqdm

        together = processes()
        loss_at, length = self._losses(stage)
        self._optimizer = self._make_optimizer(stage)
        modules = (getattr(self.policy, name) for name in self.stages[stage])
        self._averaged = together.averaging(modules, some_unused=self._leaves_parameters(stage))
        self.policy.set_training_mode(True)
        quiet = not progress_bar or together.rank > 0
        bar = tqdm(total=updates, initial=first, disable=quiet, desc=stage, unit="update")
        going = True
        with contextlib.closing(self._ready_losses(stage, loss_at, range(first, updates), length)) as losses:
            for update, loss_of in enumerate(losses, first):
                loss = self._update(stage, loss_of, update, updates)
                bar.update()
                told = (update + 1) % log_interval == 0 or update + 1 == updates
                if told or update == first:
                    value = float(together.mean(loss))
                    self._check_loss(stage, value, update)
                if told:
                    self._log(stage, value)
                    bar.set_postfix(loss=f"{value:.4g}")
                hook.update_locals(locals())
                if not together.agreed(hook.on_step()):
                    going = False
                    break
                if not self.policy.training:  # a callback's doing
                    self.policy.set_training_mode(True)
        bar.close()
        self.policy.set_training_mode(False)
        self._averaged = called
        if going:
            self._optimizer, self._optimizer_state = None, {}
        return going

    def _ready_losses(
        self, stage: str, loss_at: Callable[[int], LossOf], updates: range, length: int
    ) -> Generator[LossOf, None, None]:
        """The loss of every update in turn; a thread prepares batches ahead, up to the end of the block."""
        update = updates.start
        while update < updates.stop:
            end = min(updates.stop, (update // length + 1) * length) if length else updates.stop
            loss_of = loss_at(update)
            if isinstance(loss_of, PreparedLoss):
                rngs = (self._random_numbers(stage, number) for number in range(update, end))
                yield from loss_of.ready(rngs, self.prepare_ahead)
            else:
                yield from itertools.repeat(loss_of, end - update)
            update = end

    def _random_numbers(self, stage: str, update: int) -> np.random.Generator:
        return np.random.default_rng((self.config["seed"], list(self.stages).index(stage), update))

    def _update(self, stage: str, loss_of: LossOf, update: int, updates: int) -> th.Tensor:
        """One optimiser step; its samples are a function of seed, stage and update, so a resumed run repeats them."""
        optimizer = self._optimizer
        assert optimizer is not None
        schedule = Schedule(**self.config.get("schedules", {}).get(stage, {}))
        for group in optimizer.param_groups:
            group["lr"] = self._peak_rate(stage) * schedule.at(update, updates)
        optimizer.zero_grad(set_to_none=True)
        loss = self._averaged(lambda: loss_of(self._random_numbers(stage, update)))
        loss.backward()
        if stage in (limits := self.config.get("max_grad_norm", {})):
            th.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], limits[stage])
        optimizer.step()
        self._after_update(stage)
        self.progress[stage] = update + 1
        self.num_timesteps += self.config["batch_size"]
        self._n_updates += 1
        return loss.detach()

    def _check_loss(self, stage: str, loss: float, update: int) -> None:
        """Of an update, from 0: before the first no weight has moved, so no learning rate is to blame."""
        if math.isfinite(loss):
            return
        if update:
            raise FloatingPointError(f"stage {stage!r} has loss {loss} at update {update + 1}; lower its learning rate")
        raise FloatingPointError(
            f"{self._loss_name(stage)} is {loss} from the first update on: the loss itself is wrong, or what the "
            "dataset shows it; another learning rate is no cure"
        )

    def _loss_name(self, stage: str) -> str:
        """What a message calls a stage's loss."""
        return f"the loss of stage {stage!r}"

    def _log(self, stage: str, loss: float) -> None:
        seconds = max((time.time_ns() - self.start_time) / 1e9, 1e-9)
        assert self._optimizer is not None
        self.logger.record(f"train/{stage}_loss", loss)
        for name, value in self._health(stage).items():
            self.logger.record(f"train/{name}", value)
        self.logger.record("train/learning_rate", self._optimizer.param_groups[0]["lr"])
        self.logger.record("time/samples_per_second", (self.num_timesteps - self._num_timesteps_at_start) / seconds)
        self.logger.record("time/total_timesteps", self.num_timesteps, exclude="tensorboard")
        self.logger.dump(self.num_timesteps)

    def _peak_rate(self, stage: str) -> float:
        return float(self.config[RATES.get(stage, "learning_rate")])

    def _make_optimizer(self, stage: str) -> th.optim.Optimizer:
        if not self.progress[stage]:
            self._optimizer_state = {}  # of another stage
        parameters = [p for name in self.stages[stage] for p in getattr(self.policy, name).parameters()]
        optimizer = th.optim.AdamW(
            parameters, self._peak_rate(stage), weight_decay=self.config["weight_decay"], fused=True
        )
        if self._optimizer_state:
            state = optimizer.state_dict()
            for name, tensor in self._optimizer_state.items():
                index, key = name.split(".")
                if int(index) >= len(parameters):
                    raise ValueError(f"the agent's file holds momenta of other networks than of stage {stage!r}")
                # The fused step goes through memory as it lies: momenta must lie as their weights do (channels last).
                like = parameters[int(index)]
                laid = th.empty_like(like).copy_(tensor) if tensor.shape == like.shape else tensor
                state["state"].setdefault(int(index), {})[key] = laid
            optimizer.load_state_dict(state)
            self._optimizer_state = {}
        return optimizer

    def _momenta(self) -> dict[str, th.Tensor]:
        """The optimiser's state in the stage that was interrupted, if one was, by ``parameter.name``."""
        if self._optimizer is None:
            return self._optimizer_state
        entries = self._optimizer.state_dict()["state"].items()
        return {f"{index}.{key}": th.as_tensor(value) for index, entry in entries for key, value in entry.items()}


def check_samples(total_timesteps: Any, of: str = "sample") -> None:
    """Check that ``total_timesteps`` is a finite number of at least 1.

    :param of: what it counts, in the singular
    :raises ValueError: when it is not
    """
    if not (is_number(total_timesteps) and total_timesteps >= 1):
        raise ValueError(f"total_timesteps must be at least one {of}, got {total_timesteps!r}")
