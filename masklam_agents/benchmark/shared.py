"""What several runs need and one makes: recorded physics, drawn frames, normalisers, agents.

Everything lies in one folder under the hash of what it depends on, and is made under a lock: of several processes that
want it one makes it, the others wait.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from stable_baselines3.common.logger import Logger

import masklam_envs
from masklam_agents.benchmark.effort import SPENT, Effort, Saver
from masklam_agents.benchmark.execute import AGENT
from masklam_agents.benchmark.files import BusyError, locked, read_json, write_json
from masklam_agents.benchmark.plan import Run
from masklam_agents.benchmark.results import Normalizers, hash_config
from masklam_agents.benchmark.stop import Stop
from masklam_agents.common.offline import OfflineAlgorithm
from masklam_agents.common.saving import read_header
from masklam_agents.methods import get_method, masked_dataset
from masklam_envs.data.cache import open_frames
from masklam_envs.data.frames import Frames, LazyFrames
from masklam_envs.data.mask_columns import segment_dataset
from masklam_envs.data.trajectories import Trajectories

# Seeds of the recordings of one seed of the suite; far from those of other seeds.
STREAMS = {"train": 0, "held_out": 1}
DONE = "done.json"


class Shared:
    """The shared folder.

    :param root: of it
    :param stop: asks training to stop
    :param save_every: seconds between saves of an agent in training
    """

    def __init__(self, root: Path, stop: Stop | None = None, save_every: float = 30.0) -> None:
        self.root, self.stop, self.save_every = root, stop or Stop(), save_every

    # ------------------------------------------------------------------ physics and frames

    def trajectories(self, run: Run, part: str) -> Trajectories:
        """Recorded episodes of the run's task and seed.

        :param part: ``"train"`` or ``"held_out"``
        :raises ValueError: when the policy needs an expert and the task has none
        """
        return Trajectories.load(self._recorded(run, part))

    def _recorded(self, run: Run, part: str) -> Path:
        """The folder of a recording, made if it is not there."""
        plan = recording(run, part)
        folder = self.root / "data" / hash_config(plan)
        with locked(folder.with_suffix(".lock")):
            if not folder.exists():
                self.stop.check()
                write_json(folder.with_suffix(".json"), plan)
                collect_steps(folder, plan)
        return folder

    def frames(self, run: Run, part: str, split: str = "train", distractor: Any = None) -> Frames | LazyFrames:
        """The frames of a recording as the run sees them: drawn once, kept in a file where there is room.

        :param part: ``"train"`` or ``"held_out"``
        :param split: of the backgrounds
        :param distractor: instead of the run's
        """
        self.stop.check()
        folder, view = self._recorded(run, part), view_options(run, split, distractor)
        trajectories, env = Trajectories.load(folder), gym.make(run.config["task"], **view)
        source = run.config["view"]["mask_source"]
        if source == "simulator":
            kept = self.root / "frames" / run.frames_key
            return open_frames(trajectories, env, folder=kept)
        name = hash_config({"source": source, "view": view} | run.code_behind("task", "view"))
        with locked(folder.with_suffix(f".{name}.lock")):
            column = segment_dataset(folder, source, name=name, env=run.config["task"], view=view)
        return LazyFrames(trajectories, env, masks=column)

    # ------------------------------------------------------------------ who needs what

    @contextlib.contextmanager
    def in_use(self, run: Run) -> Iterator[None]:
        """While this lasts nobody removes the frames and agents of a run: there may be several runners."""
        with contextlib.ExitStack() as held:
            for key in sorted(run.shared_keys):
                held.enter_context(locked(self._use(key), shared=True))
            yield

    def drop(self, key: str) -> None:
        """Remove the frames, or the agent, that no run of this runner needs any more, unless one of another does."""
        try:
            with locked(self._use(key), wait=False):
                for kind in ("frames", "agents"):
                    shutil.rmtree(self.root / kind / key, ignore_errors=True)
        except BusyError:
            pass

    def _use(self, key: str) -> Path:
        return self.root / "in_use" / f"{key}.lock"

    # ------------------------------------------------------------------ normalisers

    def normalizers(self, run: Run) -> Normalizers | None:
        """Mean returns of the expert and of random actions over the evaluation's seeds, without distractor.

        None where the task has no expert.
        """
        evaluation = run.config["evaluation"]
        plan = {"task": run.config["task"], **{k: evaluation[k] for k in ("episodes", "seed", "max_steps")}}
        path = self.root / "normalizers" / f"{hash_config(plan | run.code_behind('task'))}.json"
        with locked(path.with_suffix(".lock")):
            found = read_json(path)
            if found is None:
                found = measure_normalizers(**plan)
                write_json(path, found)
        if found["expert"] is None:
            return None
        if found["expert"] <= found["random"]:
            raise ValueError(
                f"over these episodes the expert of {plan['task']} returns {found['expert']:.1f} and random actions "
                f"{found['random']:.1f}, which normalises nothing: longer ones (evaluation.max_steps) or more of them"
            )
        return Normalizers(**found)

    # ------------------------------------------------------------------ agents

    def agent(self, run: Run) -> tuple[OfflineAlgorithm, Effort]:
        """The run's agent, trained if it is not there, and what all its training took.

        :raises StoppedError: when stopped; what was trained is saved
        """
        dataset = self._training_frames(run)
        spent = Effort()
        start: Path | None = None
        if run.stages_key is not None:
            options = {**run.config["options"], "stage_shares": [*run.config["options"]["stage_shares"][:-1], 0.0]}
            stages, spent = self._train(run, run.stages_key, options, dataset, None)
            start = stages
        path, own = self._train(run, run.agent_key, run.config["options"], dataset, start)
        agent = self._load(run, path, {}, dataset)
        return agent, spent + own

    def _training_frames(self, run: Run) -> Frames | LazyFrames:
        """The run's frames, with the masks that its method learns from."""
        target = get_method(run.config["method"]).mask_target
        if not target:
            return self.frames(run, "train")
        env = gym.make(run.config["task"], **view_options(run, "train"))
        return masked_dataset(LazyFrames(self.trajectories(run, "train"), env), target)

    def made(self, key: str | None) -> bool:
        """Whether an agent is trained."""
        return key is not None and (self.root / "agents" / key / DONE).exists()

    def agent_file(self, key: str) -> Path:
        """Where an agent is kept, trained or not."""
        return self.root / "agents" / key / AGENT

    def _train(
        self, run: Run, key: str, options: dict[str, Any], dataset: Frames | LazyFrames, start: Path | None
    ) -> tuple[Path, Effort]:
        """The file of an agent under a key, trained or gone on with, and what it took."""
        path = self.agent_file(key)
        folder = path.parent
        with locked(folder.with_suffix(".lock")):
            whole = is_agent(path)  # a machine that lost its power may leave a file that is not
            done = Effort.read(folder / DONE) if whole else None
            if done is None:
                self.stop.check()
                folder.mkdir(parents=True, exist_ok=True)
                source = path if whole else start
                if not whole:
                    (folder / SPENT).unlink(missing_ok=True)
                agent = (
                    self._make(run, options, dataset) if source is None else self._load(run, source, options, dataset)
                )
                done = self._learn(agent, path, samples_of(agent, run))
                done.write(folder / DONE)
                (folder / SPENT).unlink(missing_ok=True)
        return path, done

    def _learn(self, agent: OfflineAlgorithm, path: Path, samples: int) -> Effort:
        """Train up to so many samples; what it took, that before an interruption added."""
        saver = Saver(path, self.stop, self.save_every)
        agent.set_logger(Logger(None, []))
        agent.learn(samples, callback=saver, reset_num_timesteps=False)
        saver.save()
        self.stop.check()
        return saver.spent()

    def _make(self, run: Run, options: dict[str, Any], dataset: Frames | LazyFrames) -> OfflineAlgorithm:
        return get_method(run.config["method"]).load_class()("MultiInputPolicy", None, dataset, **options)

    def _load(self, run: Run, path: Path, options: dict[str, Any], dataset: Frames | LazyFrames) -> OfflineAlgorithm:
        return get_method(run.config["method"]).load_class().load(path, dataset=dataset, **options)


def is_agent(path: Path) -> bool:
    """Whether an undamaged agent lies there."""
    try:
        read_header(path)
    except (FileNotFoundError, ValueError):
        return False
    return True


def samples_of(agent: OfflineAlgorithm, run: Run) -> int:
    """What ``learn`` is given, so that every stage draws the run's number of samples."""
    if "stage_shares" in agent.config:  # those of the agent: a model that has trained itself leaves out stage 1
        return round(sum(agent.shares()))
    return sum(run.config["samples"].values())


def view_options(run: Run, split: str, distractor: Any = None) -> dict[str, Any]:
    """Keyword arguments of the environment whose view a run has; masks are the simulator's."""
    view = run.config["view"]
    changed = distractor is not None
    return {
        "distractor": distractor if changed else view["distractor"],
        "correlation": None if changed else view["correlation"],
        "image_size": view["image_size"],
        "mask_faults": view["mask_faults"],
        "split": split,
    }


def recording(run: Run, part: str) -> dict[str, Any]:
    """What a recording depends on."""
    data, train = run.config["data"], part == "train"
    return {
        "task": run.config["task"],
        "policy": data["policy"] if train else data["held_out_policy"],
        "noise": data["noise"] if train else None,
        "steps": data["steps"] if train else data["held_out_steps"],
        "max_steps": data["max_steps"],
        "seed": len(STREAMS) * run.config["seed"] + STREAMS[part],
        **run.code_behind("task"),
    }


def collect_steps(folder: Path, plan: dict[str, Any]) -> None:
    """Record whole episodes until there are enough steps: as few of them as will do.

    An interrupted recording goes on.
    """
    part = folder.with_name(f"{folder.name}.part")
    options = {name: plan[name] for name in ("policy", "noise", "max_steps", "seed")}
    episodes, steps = 1, plan["steps"]
    while True:
        found = masklam_envs.collect(plan["task"], episodes, out=part, **options)
        total = int(found.lengths.sum())
        if total >= steps:
            break
        episodes = max(episodes + 1, math.ceil(episodes * steps / total))
    enough = int(np.searchsorted(np.cumsum(found.lengths), steps)) + 1
    found.select(range(enough)).save(folder)
    shutil.rmtree(part, ignore_errors=True)


def measure_normalizers(task: str, episodes: int, seed: int, max_steps: int | None) -> dict[str, float | None]:
    """Mean returns of expert and random actions, from the resets that agents are evaluated on."""
    from masklam_envs.reference import reference_expert

    env = gym.make(task)
    base: Any = env.unwrapped.base  # type: ignore[attr-defined]
    expert = reference_expert(base)
    act = None if expert is None else expert.predict
    if act is None and hasattr(base.unwrapped, "scripted_expert"):
        act = base.unwrapped.scripted_expert
    limit = min(x for x in (max_steps, env.spec.max_episode_steps if env.spec else None, 10**9) if x)
    seeds = range(seed, seed + episodes)
    rng = np.random.default_rng(seed)
    low, high = env.action_space.low, env.action_space.high  # type: ignore[attr-defined]
    random = np.mean([_return(base, lambda _: rng.uniform(low, high), s, limit) for s in seeds])
    best = None if act is None else float(np.mean([_return(base, act, s, limit) for s in seeds]))
    return {"expert": best, "random": float(random)}


def _return(base: Any, act: Any, seed: int, limit: int) -> float:
    """The undiscounted return of one episode of physics alone."""
    state, _ = base.reset(seed=seed)
    total = 0.0
    for _ in range(limit):
        state, reward, terminated, truncated, _ = base.step(np.asarray(act(state), np.float32))
        total += float(reward)
        if terminated or truncated:
            break
    return total


def physics_digest(trajectories: Trajectories) -> str:
    """16 hexadecimal digits of recorded physics: equal for the methods that had the same."""
    found = hashlib.sha256()
    for name in ("qpos", "actions", "labels", "lengths", "distractor_seeds"):
        found.update(np.ascontiguousarray(getattr(trajectories, name)).tobytes())
    return found.hexdigest()[:16]


def count_parameters(agent: OfflineAlgorithm) -> int:
    """Trainable numbers of all stages' modules together."""
    names = {name for modules in agent.stages.values() for name in modules}
    modules = [getattr(agent.policy, name) for name in names]
    return sum(p.numel() for module in modules if isinstance(module, th.nn.Module) for p in module.parameters())
