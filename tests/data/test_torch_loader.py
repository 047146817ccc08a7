"""Windows in torch's own loader: what its default collate makes of them, and workers that are spawned."""

import re
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Subset

from masklam_envs import LazyFrames, Windows, collect
from masklam_envs.data import Window
from tests.helpers import made_up_frames


@pytest.fixture(params=["memory", "drawn"])
def windows(request):
    if request.param == "memory":
        return Windows(made_up_frames([9, 1, 7]), future_offset=2)
    env = gym.make("MaskHopper-v0", distractor="video", image_size=36)
    return Windows(LazyFrames(collect(env, 2, max_steps=6), env), future_offset=2)


def test_collated_windows_are_a_batch(windows):
    batches = list(DataLoader(windows, batch_size=4))
    assert [len(batch.time) for batch in batches][:-1] == [4] * (len(windows) // 4)
    want = windows.batch(windows.anchors)
    for name in Window._fields:
        found = torch.cat([getattr(batch, name) for batch in batches]).numpy()
        assert found.dtype == getattr(want, name).dtype and np.array_equal(found, getattr(want, name)), name


def test_each_window_is_seen_once_in_torch_s_order_and_in_its_subsets(windows):
    shuffled = DataLoader(windows, batch_size=3, shuffle=True, generator=torch.Generator().manual_seed(0))
    places = [pair for batch in shuffled for pair in zip(batch.episode.tolist(), batch.time.tolist(), strict=True)]
    batch = windows.batch(windows.anchors)
    assert places != sorted(places) == list(zip(batch.episode.tolist(), batch.time.tolist(), strict=True))
    [single] = DataLoader(Subset(windows, [3, -1]), batch_size=2)
    assert single.time.tolist() == batch.time[[3, -1]].tolist()


def test_the_recipe_of_the_page_runs_with_spawned_workers(repo, tmp_path):
    page = (repo / "docs" / "datasets.md").read_text().split("### In a torch DataLoader")[1]
    recipe = re.search(r"```python\n(.*?)```", page, flags=re.DOTALL)[1]
    (tmp_path / "recipe.py").write_text(recipe)
    found = subprocess.run([sys.executable, "recipe.py"], capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert not found.returncode, found.stderr
    assert found.stdout.strip() == recipe.strip().splitlines()[-1].removeprefix("    # ")
