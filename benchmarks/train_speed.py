"""Samples a second of stage 1 beside a plain loop over the same networks, and what the loader costs.

    python benchmarks/train_speed.py                                  # network small
    python benchmarks/train_speed.py --networks small impala --compile
    python benchmarks/train_speed.py --device cuda --batch 512 --networks paper

* **plain loop**: torch's ``DataLoader`` over windows, one sample after the other turned into floats; float32,
  contiguous tensors, eager, AdamW of torch's defaults;
* the other rows are updates of the agent: frames gathered by one Numba kernel, ahead on a thread, in fp32 or bf16,
  contiguous or channels-last, eager or compiled (``torch.compile``, left out where there is no compiler).  Network
  ``small`` reads patches, so the order of its memory has no variants.

All of MaskLAM's stage 1 is in a step: windows drawn, gathered, moved to the device, IDM and FDM forward and backward,
masked loss, optimiser.  Frames lie in memory (``benchmarks/data_speed.py`` has the other roads to them).  *Loader* is
the share of a step that the same batch takes to be made, measured alone; *waits* the share in which the loop waits for
its thread.  With ``--cpu-time`` there is no thread: its work is the step's.  *Of peak* is a step's share of what a
large bf16 matrix product reaches in the same run.  Rows are measured in turn, ``repeats`` times, and the best turn of
each is told: on a shared machine compare rows of one run alone, or count processor time.
"""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import torch
import tyro
from torch.utils.data import DataLoader, Dataset, RandomSampler
from torch.utils.flop_counter import FlopCounterMode

from masklam_agents import MaskLAM
from masklam_agents.common.losses import reconstruction_loss
from masklam_agents.common.networks import NETWORKS
from masklam_envs import Frames, Windows, collect, render_frames

STACK = 3


@dataclasses.dataclass
class Args:
    networks: tuple[str, ...] = ("small",)
    """names of network families"""
    device: str = "auto"
    """auto, cpu or cuda"""
    batch: int = 0
    """samples of an update; 0: 512 on CUDA, else 128 for small and 16 for convolutions"""
    compile: bool = False
    """also torch.compile, which takes a minute for each row before it starts"""
    seconds: float = 2.0
    """of a turn, at least one step"""
    repeats: int = 3
    """turns of each row"""
    threads: int = 0
    """torch's threads; 0: its default"""
    cpu_time: bool = False
    """count processor time instead of time: what others do on the machine then matters less"""
    image_size: int = 64
    """pixels"""


@dataclasses.dataclass(frozen=True)
class Row:
    """One way to train."""

    network: str
    precision: str
    memory: str
    mode: str

    @property
    def name(self) -> str:
        return f"{self.network}, {self.precision}, {self.memory}, {self.mode}"


def main(args: Args) -> None:
    """Print one table for each network."""
    if args.threads:
        torch.set_num_threads(args.threads)
    device = torch.device(
        "cuda" if args.device == "auto" and torch.cuda.is_available() else args.device.replace("auto", "cpu")
    )
    env = gym.make("MaskCheetah-v0", distractor="action", image_size=args.image_size)
    frames = render_frames(collect("MaskCheetah-v0", 2, seed=0), env)
    kind = torch.cuda.get_device_name() if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    print(f"{device.type} ({kind}), torch {torch.__version__}, {torch.get_num_threads()} threads")
    for network in args.networks:
        measure(args, network, frames, device)


def measure(args: Args, network: str, frames: Frames, device: torch.device) -> None:
    """Time all rows of a network in turn."""
    image = NETWORKS[network].layout == "image"
    batch = args.batch or (512 if device.type == "cuda" else 16 if image else 128)
    compiles = args.compile and (device.type == "cuda" or shutil.which("g++") is not None)
    rows = [
        Row(network, precision, memory, mode)
        for precision in ("fp32", "bf16")
        for memory in (("contiguous", "channels_last") if image else ("patches",))
        for mode in ("eager", "compiled")[: 1 + compiles]
    ]
    plain = plain_loop(agent_for(network, "fp32", batch, frames, device), frames)
    steps: dict[str, Callable[[], Any]] = {"plain loop": plain}
    loaders: dict[str, Callable[[], Any]] = {}
    flops = count_flops(plain)
    for row in rows:
        agent = agent_for(network, row.precision, batch, frames, device)
        steps[row.name], loaders[row.name] = agent_steps(agent, row, frames, args.cpu_time), loader(agent, frames)
    best, waits = timed(steps, args, device)
    alone, _ = timed(loaders, args, device)
    peak = bf16_peak(args, device)
    print(f"\n{network}: batches of {batch}, {flops / batch / 1e9:.2f} GFLOP a sample")
    print(f"bf16 peak (a large matrix product): {peak / 1e12:.3f} TFLOP/s")
    print(f"{'':42} {'samples/s':>10} {'x plain':>8} {'TFLOP/s':>8} {'of peak':>8} {'loader':>7} {'waits':>7}")
    for name, seconds in best.items():
        share = f"{alone[name] / seconds:7.1%}" if name in alone else ""
        wait = f"{waits[name]:7.1%}" if name in alone and not args.cpu_time else ""
        rate = flops / seconds
        figures = f"{batch / seconds:10.0f} {best['plain loop'] / seconds:8.2f} {rate / 1e12:8.3f} {rate / peak:8.1%}"
        print(f"{name:42} {figures} {share} {wait}".rstrip())


def bf16_peak(args: Args, device: torch.device) -> float:
    """Operations a second of a large square matrix product in bf16."""
    size = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    best, _ = timed({"product": lambda: a @ b}, args, device)
    return 2 * size**3 / best["product"]


def timed(
    steps: dict[str, Callable[[], Any]], args: Args, device: torch.device
) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds of a step, the best turn's mean, and the share of them in which it waited, if it tells."""
    clock = time.process_time if args.cpu_time else time.perf_counter
    best, waits = dict.fromkeys(steps, np.inf), dict.fromkeys(steps, 0.0)
    for turn in range(args.repeats + 1):
        for name, step in steps.items():
            count, waited, started = 0, 0.0, clock()
            while not count or clock() - started < (args.seconds if turn else 0):
                told = step()
                waited += told if isinstance(told, float) else 0.0
                if device.type == "cuda":
                    torch.cuda.synchronize()
                count += 1
            seconds = (clock() - started) / count
            if turn and seconds < best[name]:  # the first turn compiles and fills caches
                best[name], waits[name] = seconds, waited / count / seconds
    return best, waits


def agent_for(network: str, precision: str, batch: int, frames: Frames, device: torch.device) -> MaskLAM:
    """MaskLAM with the paper's windows."""
    agent = MaskLAM(dataset=frames, network=network, precision=precision, batch_size=batch, device=device)
    agent.policy.set_training_mode(True)
    return agent


def agent_steps(agent: MaskLAM, row: Row, frames: Frames, cpu_time: bool) -> Callable[[], float]:
    """Updates as ``learn`` makes them; each tells the seconds for which it waited for its batch."""
    policy: Any = agent.policy
    if row.memory == "contiguous":
        policy.to(memory_format=torch.contiguous_format)
        gathered = policy.models_input
        policy.models_input = lambda *args, **kwargs: gathered(*args, **kwargs).contiguous()
    agent._optimizer = agent._make_optimizer("pretrain")
    loss_of = agent._begin_stage("pretrain", frames)
    agent._update("pretrain", loss_of, 0, 10**6)  # eager, so that the inputs' statistics are taken before compilation
    if row.mode == "compiled":
        policy.idm.compile()
        policy.fdm.compile()
    agent.prepare_ahead = 0 if cpu_time else agent.prepare_ahead
    losses = enumerate(agent._ready_losses("pretrain", lambda _: loss_of, range(1, 10**6), 0), 1)

    def step() -> float:
        started = time.perf_counter()
        number, ready = next(losses)
        waited = time.perf_counter() - started
        agent._update("pretrain", ready, number, 10**6)
        return waited

    return step


def loader(agent: MaskLAM, frames: Frames) -> Callable[[], Any]:
    """What a step does before the networks: draw windows, gather inputs and targets, move them to the device."""
    policy, config = agent.policy, agent.config
    windows = Windows(frames, frame_stack=STACK, future_offset=config["future_offset"])
    rng = np.random.default_rng(0)

    def load() -> Any:
        anchors = windows.anchors[rng.integers(len(windows), size=config["batch_size"])]
        future = anchors + rng.integers(1, config["future_offset"] + 1, size=len(anchors))
        index = np.concatenate((windows.stack(anchors), windows.stack(future)), axis=1)
        x = policy.models_input(frames.rgbm, index, half=agent._half)
        return x, torch.from_numpy(frames.rgbm[anchors + 1]).to(agent.device)

    return load


class PlainWindows(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """One window after the other, as tutorials write it."""

    def __init__(self, frames: Frames, future_offset: int) -> None:
        self.frames, self.offset = frames, future_offset
        self.windows = Windows(frames, frame_stack=STACK, future_offset=future_offset)

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        anchor = self.windows.anchors[number : number + 1]
        future = anchor + int(torch.randint(1, self.offset + 1, ()))
        index = np.concatenate((self.windows.stack(anchor), self.windows.stack(future)), axis=1)[0]
        return self._float(self.frames.rgbm[index]), self._float(self.frames.rgbm[anchor + 1])

    @staticmethod
    def _float(rgbm: np.ndarray) -> torch.Tensor:
        """(n, H, W, 4) uint8 to (4 * n, H, W) floats: RGB about 0, masks 0 or 1."""
        x = torch.from_numpy(rgbm).permute(0, 3, 1, 2).float() / 255
        x[:, :3] -= 0.5
        return x.flatten(0, 1)


def plain_loop(agent: MaskLAM, frames: Frames) -> Callable[[], Any]:
    """The agent's networks, trained by hand."""
    policy, batch = agent.policy.to(memory_format=torch.contiguous_format), agent.config["batch_size"]
    data = PlainWindows(frames, agent.config["future_offset"])
    batches = endless(DataLoader(data, batch, sampler=RandomSampler(data, replacement=True, num_samples=10**6)))
    optimizer = torch.optim.AdamW([*policy.idm.parameters(), *policy.fdm.parameters()], 1e-3)

    def step() -> torch.Tensor:
        pair, target = (x.to(agent.device) for x in next(batches))
        x = pair if policy.layout == "image" else in_patches(pair)
        prediction = policy.next_frame(x, policy.idm(x))
        loss = reconstruction_loss(prediction, target[:, :3], target[:, 3:], "fixed")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def in_patches(x: torch.Tensor) -> torch.Tensor:
    """Frames (B, 4 * n, H, W) in the patches that network ``small`` reads."""
    side, size = x.shape[2] // 8, x.shape[1] // 4
    x = x.view(len(x), size, 4, side, 2, 4, side, 2, 4)
    return x.permute(0, 3, 6, 4, 7, 1, 5, 8, 2).reshape(len(x), 4 * side * side, -1)


def endless(batches: DataLoader[Any]) -> Iterator[Any]:
    """Batch after batch."""
    while True:
        yield from batches


def count_flops(step: Callable[[], Any]) -> float:
    """Floating point operations of a step's matrix products and convolutions, forward and backward."""
    step()  # the first one takes the statistics of its inputs too
    with FlopCounterMode(display=False) as counter:
        step()
    return float(counter.get_total_flops())


if __name__ == "__main__":
    main(tyro.cli(Args))
