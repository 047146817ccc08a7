"""Faults of masks that are recorded."""

import gymnasium as gym
import numpy as np
import pytest

from masklam_envs import collect, render_frames
from masklam_envs.data import Frames, faulty_frames, pixel_trajectories
from masklam_envs.data.formats.convert import open_own
from masklam_envs.data.mask_columns import segment_dataset

FAULTS = {
    "erosion": {"name": "erosion", "radius": 1},
    "dilation": {"name": "dilation", "radius": 3},
    "flicker": {"name": "flicker", "rate": 0.5, "radius": 2},
    "dropout": {"name": "dropout", "rate": 0.3, "burst": 3},
    "latency": {"name": "latency", "frames": 2},
    "discs": {"name": "false_positives", "hold": 2},
    "occlusion": {"name": "occlusion", "fraction": 0.5},
    "paper's occlusion": {"name": "occlusion", "fraction": 0.25, "box": "episode"},
    "several": [{"name": "latency", "frames": 1}, "dilation", {"name": "dropout", "rate": 0.2}],
}
VIEW = {"distractor": "video", "image_size": 32}


@pytest.fixture(scope="module")
def recorded():
    return collect("MaskHopper-v0", 2, policy="random", max_steps=8, seed=3)


def squares(episodes=3, length=30):
    """Pixels of noise, a square that moves, and its masks; no physics."""
    count = episodes * (length + 1)
    rgbm = np.random.default_rng(0).integers(0, 256, (count, 16, 16, 4)).astype(np.uint8)
    rgbm[..., 3] = 0
    for t in range(count):
        rgbm[t, 4:10, t % 8 : t % 8 + 6, 3] = 255
    meta = {"base": None, "masks": "simulator", "action_low": [], "action_high": []}
    return Frames(pixel_trajectories(meta, [length] * episodes), rgbm, [np.zeros((length + 1, 0))] * episodes)


@pytest.mark.parametrize("name", FAULTS)
def test_faults_of_drawn_frames_are_those_of_the_environment(name, recorded):
    plain = render_frames(recorded, gym.make("MaskHopper-v0", **VIEW))
    before = plain.rgbm.copy()
    want = render_frames(recorded, gym.make("MaskHopper-v0", **VIEW, mask_faults=FAULTS[name]))
    found = faulty_frames(plain, FAULTS[name])
    assert np.array_equal(found.rgbm, want.rgbm) and not np.array_equal(found.rgbm, before)
    assert np.array_equal(plain.rgbm, before)


def test_frames_that_came_as_pixels_have_them_by_a_seed(tmp_path):
    frames, fault = squares(), {"name": "dropout", "rate": 0.5}
    lost = [faulty_frames(frames, fault, seed).mask.max(axis=(1, 2, 3)) == 0 for seed in (0, 0, 1)]
    assert np.array_equal(lost[0], lost[1]) and not np.array_equal(lost[0], lost[2])
    assert 0.3 < np.mean(lost[0]) < 0.7
    first, second, _ = np.split(lost[0], 3)
    assert not np.array_equal(first, second)
    found = faulty_frames(frames, fault)
    assert np.array_equal(found.pixels, frames.pixels)
    found.save(tmp_path / "data")
    again = Frames.load(tmp_path / "data")
    assert np.array_equal(again.mask, found.mask)
    assert (again.trajectories.meta["masks"], again.trajectories.meta["mask_faults"]) == ("faulty", fault)


def test_occlusion_hides_pixels_too():
    frames = squares()
    found = faulty_frames(frames, {"name": "occlusion", "fraction": 0.5})
    changed = (found.pixels != frames.pixels).any(axis=3)
    assert changed.any() and (found.pixels[changed] == 128).all() and not found.mask[changed].any()


def test_a_ghost_is_refused_with_the_cure():
    with pytest.raises(ValueError, match="do not know which pixels are a ghost's: draw the physics in an environment"):
        faulty_frames(squares(), "ghost")
    with pytest.raises(ValueError, match="unknown mask fault 'dropuot'"):
        faulty_frames(squares(), "dropuot")


@pytest.mark.filterwarnings("ignore:the masks .* are of little use")
def test_a_column_of_a_source_has_them_as_the_live_environment(tmp_path):
    source = {"name": "motion", "method": "difference", "radius": 0}
    fault = [{"name": "dropout", "rate": 0.4}, {"name": "dilation", "radius": 1}]
    physics = collect("MaskHopper-v0", 2, policy="random", max_steps=8, seed=3, out=tmp_path / "data")
    column = segment_dataset(tmp_path / "data", source, name="worse", view=VIEW, mask_faults=fault)
    want = render_frames(physics, gym.make("MaskHopper-v0", **VIEW, mask_source=source, mask_faults=fault))
    assert np.array_equal(column.soft, want.mask[..., 0]) and column.meta["mask_faults"] == fault
    assert np.array_equal(open_own(tmp_path / "data", view=VIEW, masks="worse").select([0, 1]).mask, want.mask)
    with pytest.raises(ValueError, match=r"was made otherwise \(mask_faults differ"):
        segment_dataset(tmp_path / "data", source, name="worse", view=VIEW, mask_faults="erosion")
    with pytest.raises(ValueError, match="cannot occlude pixels: give 'occlusion' pixels=False"):
        segment_dataset(tmp_path / "data", source, name="cut", view=VIEW, mask_faults="occlusion")
    cut = {"name": "occlusion", "fraction": 0.5, "pixels": False}
    assert (
        segment_dataset(tmp_path / "data", "simulator", name="cut", view=VIEW, mask_faults=cut).quality.iou_mean < 0.9
    )
