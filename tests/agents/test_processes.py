"""Several processes that train together come to what one process comes to."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch as th

from masklam_agents.common.processes import Processes, join_torchrun
from masklam_agents.common.saving import read_agent


def test_parts_make_the_whole_batch():
    rows = np.arange(12).reshape(6, 2)
    parts = [Processes(rank, 3).share(rows) for rank in range(3)]
    assert np.array_equal(np.concatenate(parts), rows)
    assert Processes().share(rows) is rows
    with pytest.raises(ValueError, match="6 samples have no 4 equal parts: let batch_size be a multiple"):
        Processes(0, 4).share(rows)


def test_without_torchrun_there_is_one_process(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    alone = join_torchrun()
    x = th.arange(3.0)
    assert alone == Processes(0, 1)
    assert alone.mean(x) is x and alone.whole(x) is x and alone.agreed(True) and not alone.agreed(False)


@pytest.mark.slow
def test_two_processes_have_the_losses_and_weights_of_one(repo, tmp_path):
    script = [str(repo / "tests" / "agents" / "train_together.py")]
    together = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "PYTHONPATH": str(repo), "OMP_NUM_THREADS": "1"}
    found = {}
    for name, launcher in {"one": [], "two": together}.items():
        folder = tmp_path / name
        folder.mkdir()
        subprocess.run([sys.executable, *launcher, *script, str(folder)], env=environment, check=True, timeout=600)
        found[name] = json.loads((folder / "0.json").read_text())
    other = json.loads((tmp_path / "two" / "1.json").read_text())
    left = [json.loads((tmp_path / "two" / f"{rank}_threads.json").read_text()) for rank in range(2)]
    assert not [thread for threads in left for thread in threads if "gloo" in thread]
    assert other["stopped"] == found["two"]["stopped"] == found["one"]["stopped"]
    assert other["stopped"]["pretrain"] == 3 and not other["stopped"]["clone"]
    assert other["losses"] == found["two"]["losses"]  # the mean over both
    for method, losses in found["one"]["losses"].items():
        again = found["two"]["losses"][method]
        assert [entry[:2] for entry in again] == [entry[:2] for entry in losses] and len(losses) == 24
        for (stage, _, loss), (*_, other) in zip(losses, again, strict=True):
            # Later stages divide by the spread of latents, which after so few updates is small.
            assert other == pytest.approx(loss, rel=1e-5 if stage == "pretrain" else 0.02), (method, stage)
        one, two = (read_agent(tmp_path / name / method)[1] for name in ("one", "two"))
        assert one.keys() == two.keys()
        for name in one:
            # What inputs do not vary in is whitened by any directions.
            if not name.startswith(("policy.actor", "policy.decoder")) and not name.endswith("whitening"):
                # Adam takes a whole step where a gradient is no more than rounding, so single weights may differ.
                a, b = one[name].double(), two[name].double()
                apart, size = (b - a).square().mean().sqrt(), a.square().mean().sqrt()
                assert apart <= 1e-4 + 1e-4 * size, (method, name, apart, size)
