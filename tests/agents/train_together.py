"""What ``test_processes.py`` runs under torchrun and without: a few updates of methods that look at whole batches."""

import atexit
import json
import os
import sys
from pathlib import Path

from masklam_agents import join_torchrun, make_agent
from tests.agents.conftest import make_env, make_frames
from tests.agents.test_training import StopAt

METHODS = {
    "masklam-fixed": {"bottleneck": "vq", "latent_dim": 16, "bottleneck_options": {"codes": 8}},
    "masklam-paper": {"network": "small", "latent_dim": 8, "labels": 40, "whiten": None},
    "laom-labels": {"latent_dim": 8, "head_dim": 16, "label_weight": 0.1, "labels": 40, "label_batch": 4},
    "laom": {"latent_dim": 8, "head_dim": 16},
    "idm": {"labels": 40, "shift": 2},
}


def main(folder: Path) -> None:
    """Write losses, weights and what a stopped run came to."""
    atexit.register(
        write_threads, folder / f"{os.environ.get('RANK', 0)}_threads.json"
    )  # after what join_torchrun registers
    rank = join_torchrun().rank
    losses, frames = {}, make_frames(seed=0)
    for name, options in METHODS.items():
        options = {"batch_size": 16, "precision": "fp32", "whiten": None, **options}
        agent = make_agent(name, env=make_env(), dataset=frames, **{k: v for k, v in options.items() if known(name, k)})
        told = losses[name] = []
        agent._log = lambda stage, loss, told=told: told.append((stage, len(told), loss))
        agent.learn(16 * 24, log_interval=1)
        agent.save(folder / name)  # of the first process alone
    agent.learn(16 * 24, callback=StopAt(3))
    (folder / f"{rank}.json").write_text(json.dumps({"losses": losses, "stopped": agent.progress}))


def known(method: str, option: str) -> bool:
    """Whether a method has an option."""
    return (method, option) != ("idm", "whiten")


def write_threads(file: Path) -> None:
    """Names of the threads that live on as the interpreter ends (Linux)."""
    tasks = Path("/proc/self/task").glob("*/comm")
    file.write_text(json.dumps([task.read_text().strip() for task in tasks]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
