"""One picture of the suite."""

import gymnasium as gym
import matplotlib.image
import numpy as np
import pytest

from masklam_envs import collect, render_frames
from masklam_envs.gallery import GAP, LEFT, SCALE, STEPS, TOP, draw_gallery
from masklam_envs.pictures import outlined

TASKS, DISTRACTORS, SEED = ("MaskCheetah-v0", "MaskReacher-v0"), ("none", "video", {"name": "action", "lag": 2}), 5


def test_its_cells_are_the_outlined_frames(tmp_path):
    draw_gallery(tmp_path / "gallery.png", tasks=TASKS, distractors=DISTRACTORS, seed=SEED)
    picture = (matplotlib.image.imread(tmp_path / "gallery.png")[..., :3] * 255).astype(int)
    side = 64 * SCALE
    assert picture.shape == (TOP + 2 * (side + GAP), LEFT + 3 * (side + GAP), 3)
    assert [path.name for path in tmp_path.iterdir()] == ["gallery.png"]
    for i, task in enumerate(TASKS):
        recorded = collect(task, 1, seed=SEED + i, max_steps=STEPS)
        for j, distractor in enumerate(DISTRACTORS):
            frames = render_frames(recorded, gym.make(task, distractor=distractor))
            want = outlined(frames.pixels[-1], frames.mask[-1], SCALE).astype(int)
            y, x = TOP + i * (side + GAP), LEFT + j * (side + GAP)
            # The palette costs a little colour, and nothing else.
            assert np.abs(picture[y : y + side, x : x + side] - want).mean() < 6


def test_names_stand_beside_rows_and_above_columns(tmp_path):
    draw_gallery(tmp_path / "gallery.png", tasks=TASKS[:1], distractors=["none"])
    picture = matplotlib.image.imread(tmp_path / "gallery.png")[..., 0]
    assert (picture[:TOP, LEFT:] < 0.5).any() and (picture[TOP:, :LEFT] < 0.5).any()
    assert (picture[:TOP, :LEFT] == 1).all()


def test_a_wrong_name_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match="Did you mean 'video'"):
        draw_gallery(tmp_path / "gallery.png", tasks=TASKS[:1], distractors=["vidoe"])
    assert not list(tmp_path.iterdir())


def test_the_one_in_the_readme_is_small(repo):
    assert (repo / "docs" / "pictures" / "gallery.png").stat().st_size < 500_000
    assert "docs/pictures/gallery.png" in (repo / "README.md").read_text()
