"""Rows painted together are the rows painted one by one, for our parts and for those that others derive from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masklam_envs.distractors import ActionReference, Backdrop, Context, Distractor, make_distractor
from masklam_envs.distractors.base import Backdrops
from masklam_envs.distractors.video import BouncingVideo, all_bounced, bounced

REFERENCE = ActionReference.uniform([-1, -1], [1, 1])
TOGETHER: list[Any] = [
    "none",
    "video",
    {"name": "video", "speed": 2.5, "videos": 3},
    "still",
    "flat",
    {"name": "flat", "colour": [1, 2, 255], "opacity": 0.5},
    {"name": "action", "motion": ["pan", "rotation", "zoom", "speed"], "gain": 9.0},
    ["video", {"name": "action", "motion": ["speed", "pan"], "gain": 30.0}],
    ["flat", "action"],
    ["video", {"name": "action", "footage": "procedural"}],
]


def made(config: Any) -> Distractor:
    return make_distractor(config, action_reference=REFERENCE, image_size=16)


def fields(backdrop: Any) -> dict[str, Any]:
    return {name: getattr(backdrop, name) for name in ("clip", "index", "x", "y", "turn", "zoom")}


@pytest.mark.parametrize("config", TOGETHER, ids=str)
@settings(max_examples=6)
@given(seed=st.integers(0, 2**63 - 1))
def test_backdrops_are_those_of_single_rows(config: Any, seed: int) -> None:
    distractor = made(config)
    actions = np.random.default_rng(seed).uniform(-1, 1, (60, 2))
    rows = distractor.track(seed, actions, np.zeros((61, 4)))
    together = distractor.backdrops(rows)
    assert together is not None
    for k, row in enumerate(rows):
        alone = Backdrop(np.zeros(0))
        for part, columns in zip(distractor.parts, distractor.columns, strict=True):
            part.paint(row[columns], alone)
        assert (alone.footage, alone.opacity) == (together.footage, together.opacity)
        assert {name: value[k] for name, value in fields(together).items()} == fields(alone)


@pytest.mark.parametrize("other", ["occluders", {"name": "test-turned"}])
def test_a_part_that_paints_single_rows_is_asked_for_each(other: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(make_distractor.__globals__["_PARTS"], "test-turned", f"{__name__}:TurnedVideo")
    distractor = made(["video", other])
    assert distractor.backdrops(distractor.track(0, np.zeros((3, 2)), np.zeros((4, 4)))) is None


class TurnedVideo(BouncingVideo):
    """Has another ``paint`` than the class whose ``paint_all`` it inherits."""

    def paint(self, row: Any, backdrop: Backdrop) -> None:
        super().paint(row, backdrop)
        backdrop.turn = 0.5


class BothTurned(TurnedVideo):
    """And one that has both."""

    def paint_all(self, rows: Any, backdrops: Backdrops) -> None:
        super().paint_all(rows, backdrops)
        backdrops.turn += 0.5


def test_paint_all_counts_where_it_knows_of_paint() -> None:
    context = Context("train", REFERENCE, 16)
    assert [cls(context).paints_together for cls in (BouncingVideo, TurnedVideo, BothTurned)] == [True, False, True]


@given(st.integers(-1000, 1000), st.integers(1, 9))
def test_all_bounced_is_bounced(place: int, length: int) -> None:
    assert all_bounced(np.array([place]), np.array([length])).tolist() == [bounced(place, length)]
