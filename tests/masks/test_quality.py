"""Quality of masks, by hand."""

import numpy as np
import pytest

from masklam_envs.masks.quality import Measuring, Quality, contact_sheet, measure


def square(top=2, left=2, side=4, size=16, count=4):
    masks = np.zeros((count, size, size), np.uint8)
    masks[:, top : top + side, left : left + side] = 255
    return masks


def test_perfect_masks():
    found = measure(square(), square())
    assert found == Quality(4, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    assert not found.complaints


def test_numbers_by_hand():
    truth, masks = square(count=8), square(count=8)
    masks[6:, :, :4] = 0  # half of the square is lost in the last quarter: IoU 0.5
    masks[0] = 0
    found = measure(masks[..., None], truth[..., None])
    assert found.iou_mean == pytest.approx((0 + 5 + 2 * 0.5) / 8)
    assert (found.iou_median, found.iou_worst) == (1.0, 0.0)
    assert found.area_ratio == pytest.approx(6 / 8)
    assert found.area_drift == 0.0  # (0 + 1) / 2 in the first quarter, 0.5 in the last
    # 16 pixels become right in frame 1, 8 wrong in frame 6, of an agent of 16, over 7 pairs
    assert found.flicker == pytest.approx((16 + 8) / 16 / 7)
    assert found.empty == pytest.approx(1 / 8)
    assert found.complaints == ["12% of them are empty where the agent is seen, more than 5%"]


def test_a_mistake_that_stays_does_not_flicker_and_episodes_are_apart():
    truth = square(count=4)
    masks = np.concatenate([square(left=3, count=2), square(left=1, count=2)])
    assert measure(masks, truth, [2, 2]).flicker == 0
    assert measure(masks, truth).flicker == pytest.approx((4 + 4 + 4 + 4) / 16 / 3)


def test_boundaries_may_be_off_by_a_pixel():
    assert measure(square(left=3), square()).boundary_f == 1.0  # tolerance: 0.8 % of a diagonal of 23, rounded up
    assert measure(square(left=10), square()).boundary_f == 0.0
    # Half of the square: its boundary is near the truth's, the far side of which is missed.
    half = measure(square(side=4)[:, :, :] * (np.arange(16) < 4).astype(np.uint8), square())
    assert 0.5 < half.boundary_f < 1


def test_frames_without_agent_count_as_false_alarms_alone():
    truth, masks = square(), square()
    truth[2:], masks[3] = 0, 0
    found = measure(masks, truth)
    assert (found.iou_mean, found.empty, found.false_alarms) == (1.0, 0.0, 0.5)


def test_useless_masks_are_named():
    found = measure(np.full((4, 16, 16), 255, np.uint8), square())
    assert found.full == 1.0
    assert found.complaints == ["their IoU with the simulator's is 0.06, below 0.3"]


@pytest.mark.parametrize(
    ("masks", "truth", "lengths", "message"),
    [
        (square().astype(bool), square(), None, r"masks must be uint8 of shape \(F, H, W\), got bool"),
        (square(), square(size=8), None, "must have one shape"),
        (square(), square(), [3], "lengths must add up to the 4 frames"),
        (square()[..., None].repeat(3, -1), square(), None, "must have one channel"),
    ],
)
def test_what_does_not_fit_is_refused(masks, truth, lengths, message):
    with pytest.raises(ValueError, match=message):
        measure(masks, truth, lengths)


def test_episodes_one_after_the_other_are_the_same_as_together():
    rng = np.random.default_rng(0)
    masks, truth = (np.where(rng.random((30, 16, 16)) < 0.4, np.uint8(255), np.uint8(0)) for _ in range(2))
    truth[3:5], masks[4] = 0, 0
    measuring = Measuring()
    for first, end in ((0, 12), (12, 13), (13, 30)):
        measuring.add(masks[first:end], truth[first:end])
    assert measuring.quality() == measure(masks, truth, [12, 1, 17])
    with pytest.raises(ValueError, match="there is no episode"):
        Measuring().quality()
    with pytest.raises(ValueError, match=r"one shape and a frame, got \(30, 16, 16\), \(2, 16, 16\)"):
        measuring.add(masks, truth[:2])


def test_long_masks_are_measured_in_the_memory_of_an_episode():
    import tracemalloc

    tracemalloc.start()
    measuring = Measuring()
    for _ in range(20):
        measuring.add(square(count=20, size=32), square(count=20, size=32, left=3))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * 20 * 32 * 32  # a byte for each pixel of all masks


def test_a_contact_sheet_is_whole_or_not_there(tmp_path, monkeypatch):
    from PIL import Image

    def half(self, path, format):
        with open(path, "wb") as file:
            file.write(b"half a picture")
        raise OSError("No space left on device")

    contact_sheet(tmp_path / "sheet.png", np.zeros((4, 16, 16, 3), np.uint8), {"own": square()})
    before = (tmp_path / "sheet.png").read_bytes()
    monkeypatch.setattr(Image.Image, "save", half)
    with pytest.raises(OSError, match="No space left"):
        contact_sheet(tmp_path / "sheet.png", np.zeros((4, 16, 16, 3), np.uint8), {"own": square(left=3)})
    assert [file.name for file in tmp_path.iterdir()] == ["sheet.png"]
    assert (tmp_path / "sheet.png").read_bytes() == before
    with pytest.raises(ValueError, match="masks of at least one name"):
        contact_sheet(tmp_path / "sheet.png", np.zeros((4, 16, 16, 3), np.uint8), {})


def test_a_contact_sheet_has_a_row_for_each_name(tmp_path):
    from PIL import Image

    frames = np.full((4, 16, 16, 3), 90, np.uint8)
    contact_sheet(tmp_path / "sheet.png", frames, {"own": square(), "other": square(left=8)}, columns=3)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (2 * 2 * 16, 96 + 3 * 2 * 16, 3)
    yellow = (sheet == [255, 230, 0]).all(axis=2)
    assert yellow[:32, 96:128].any() and (yellow[:32, 96:128] != yellow[32:, 96:128]).any()
