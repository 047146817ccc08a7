"""kill -9 in one stage after the other; ``learn`` goes on to the same weights."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from masklam_agents import MaskLAM
from masklam_agents.common.callbacks import SaveLatest
from masklam_agents.common.saving import read_header
from tests.agents.conftest import make_frames
from tests.agents.test_training import equal, weights

SAMPLES = 16 * 300


def make():
    return MaskLAM(dataset=make_frames(seed=0), latent_dim=8, batch_size=16, future_offset=2, labels=50)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_run_goes_on_to_the_same_weights(repo, tmp_path):
    saved = tmp_path / "agent.safetensors"
    environment = {**os.environ, "PYTHONPATH": str(repo), "OMP_NUM_THREADS": "1"}
    for stage in ("pretrain", "clone"):
        with subprocess.Popen([sys.executable, "-m", "tests.agents.test_kill", str(saved)], env=environment) as process:
            try:
                while not saved.exists() or not read_header(saved)["progress"][stage]:
                    assert process.poll() is None
                    time.sleep(0.1)
            finally:
                process.send_signal(signal.SIGKILL)
    assert read_header(saved)["num_timesteps"] < SAMPLES
    go_on(saved)
    assert equal(weights(MaskLAM.load(saved)), weights(make().learn(SAMPLES)))


def go_on(saved: Path) -> None:
    """Train from the file, if there is one."""
    agent = MaskLAM.load(saved, dataset=make_frames(seed=0)) if saved.exists() else make()
    agent.learn(SAMPLES, callback=SaveLatest(saved, every=0.0), reset_num_timesteps=False)
    agent.save(saved)


if __name__ == "__main__":
    go_on(Path(sys.argv[1]))
