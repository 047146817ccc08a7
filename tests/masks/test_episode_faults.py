"""Faults with memory or chance are pure functions of the seed and the true masks, and as frequent as they are set."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masklam_envs.masks import EpisodeFaults, Seen, make_faults
from masklam_envs.masks.episode import STREAM, FrameNumbers
from masklam_envs.masks.faults import FAULTS
from masklam_envs.masks.occlusion import Box, box_of, rectangle_in

SIZE = 24
rates = st.floats(0, 1)
configs = st.one_of(
    st.builds(lambda r: {"name": "erosion", "radius": r}, st.integers(0, 3)),
    st.builds(lambda r: {"name": "dilation", "radius": r}, st.integers(0, 3)),
    st.builds(lambda q, b: {"name": "dropout", "rate": q, "burst": b}, rates, st.integers(1, 5)),
    st.builds(lambda n: {"name": "latency", "frames": n}, st.integers(0, 5)),
    st.builds(lambda q, r: {"name": "flicker", "rate": q, "radius": r}, rates, st.integers(0, 3)),
    st.builds(lambda n, h: {"name": "false_positives", "count": n, "hold": h}, st.integers(0, 3), st.integers(1, 4)),
    st.builds(lambda q: {"name": "ghost", "share": q}, rates),
    st.builds(lambda f, p: {"name": "occlusion", "fraction": f, "pixels": p}, rates, st.booleans()),
)
lists = st.lists(configs, max_size=4)
seeds = st.integers(0, 2**63 - 1)


def moving_blobs(length, seed=0):
    """(length, SIZE, SIZE, 1) masks of a walking rectangle, and pixels (length, SIZE, SIZE, 3)."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((length, SIZE, SIZE, 1), np.uint8)
    y, x = 8, 8
    for mask in masks:
        y, x = np.clip((y, x) + rng.integers(-2, 3, 2), 0, SIZE - 8)
        mask[y : y + 8, x : x + 5] = 255
    return rng.integers(0, 256, (length, SIZE, SIZE, 3), np.uint8), masks


def ghosts(mask):
    """Pixels of a ghost: the mask's, turned by half a turn, where the agent is not."""
    return np.where(mask == 0, mask[::-1, ::-1], np.uint8(0))


def live(config, seed, pixels, masks):
    """What a running episode shows: (pixels, masks)."""
    faults = EpisodeFaults(make_faults(config), seed)
    shown = [faults.step(p, m, ghosts(m)) for p, m in zip(pixels, masks, strict=True)]
    return [np.stack(part) for part in zip(*shown, strict=True)]


def recorded(config, seed, pixels, masks, order):
    """The same from a recording that is drawn in some order."""
    faults = EpisodeFaults(
        make_faults(config), seed, length=len(masks), draw=lambda t: Seen(masks[t], ghosts(masks[t]))
    )
    shown = {t: faults.at(t, pixels[t], masks[t], ghosts(masks[t])) for t in order}
    return [np.stack([shown[t][part] for t in range(len(masks))]) for part in (0, 1)]


@given(config=lists, seed=seeds, order=st.permutations(range(10)))
@settings(max_examples=100)
def test_live_and_drawn_in_any_order_are_equal(config, seed, order):
    pixels, masks = moving_blobs(10)
    before = pixels.copy(), masks.copy()
    for first, second in zip(
        live(config, seed, pixels, masks), recorded(config, seed, pixels, masks, order), strict=True
    ):
        assert np.array_equal(first, second)
    assert np.array_equal(pixels, before[0]) and np.array_equal(masks, before[1])


@given(config=lists, seed=seeds)
def test_what_is_done_to_an_observation_does_not_come_back(config, seed):
    pixels, masks = moving_blobs(6)
    expected = live(config, seed, pixels, masks)[1]
    faults = EpisodeFaults(make_faults(config), seed)
    for t, (p, m) in enumerate(zip(pixels.copy(), masks.copy(), strict=True)):
        mask = faults.step(p, m, ghosts(m))[1]
        assert np.array_equal(mask, expected[t])
        mask[:] = 7


@pytest.mark.parametrize("name", FAULTS)
def test_masks_stay_masks(name):
    pixels, masks = moving_blobs(5)
    _, faulty = live(name, 3, pixels, masks)
    assert faulty.dtype == np.uint8
    assert set(np.unique(faulty)) <= {0, 255}


@pytest.mark.parametrize(
    "config",
    [
        {"name": "flicker", "rate": 1.0, "radius": 0},
        {"name": "flicker", "rate": 0.0, "radius": 3},
        {"name": "erosion", "radius": 0},
        {"name": "dilation", "radius": 0},
        {"name": "dropout", "rate": 0.0, "burst": 7},
        {"name": "latency", "frames": 0},
        {"name": "false_positives", "count": 0},
        {"name": "false_positives", "radius": 0},
        {"name": "occlusion", "fraction": 0},
        {"name": "ghost", "share": 0.0},
    ],
)
def test_nothing_is_wrong_when_the_amount_is_zero(config):
    pixels, masks = moving_blobs(12)
    shown = live(config, 5, pixels, masks)
    assert np.array_equal(shown[0], pixels)
    assert np.array_equal(shown[1], masks)


@given(n=st.integers(0, 12), seed=seeds)
def test_latency_shifts_by_its_frames(n, seed):
    pixels, masks = moving_blobs(10)
    late = live({"name": "latency", "frames": n}, seed, pixels, masks)[1]
    assert np.array_equal(late, masks[np.maximum(np.arange(10) - n, 0)])


def test_latencies_add_up():
    pixels, masks = moving_blobs(10)
    twice = live([{"name": "latency", "frames": 2}, {"name": "latency", "frames": 3}], 0, pixels, masks)[1]
    assert np.array_equal(twice, live({"name": "latency", "frames": 5}, 0, pixels, masks)[1])


@pytest.mark.parametrize(("rate", "burst"), [(0.1, 1), (0.5, 1), (0.3, 8), (0.9, 3), (1.0, 2)])
def test_frames_are_lost_at_the_rate_that_is_set(rate, burst):
    n = 4000
    ones = np.full((1, 1, 1), 255, np.uint8)
    faults = EpisodeFaults(make_faults({"name": "dropout", "rate": rate, "burst": burst}), 11)
    lost = np.array([not faults.step(ones, ones)[1].any() for _ in range(n)])
    # The share's standard error, with about burst frames that say the same.
    assert abs(lost.mean() - rate) <= 4 * np.sqrt(rate * (1 - rate) * burst / n)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], lost, [0]))))
    starts, ends = edges[::2], edges[1::2]
    whole = (starts > 0) & (ends < n)
    assert ((ends - starts)[whole] >= burst).all()
    assert whole.any() or rate == 1


def test_an_outage_may_have_begun_before_the_episode():
    ones = np.full((1, 1, 1), 255, np.uint8)
    faults = make_faults({"name": "dropout", "rate": 0.5, "burst": 20})
    first = [not EpisodeFaults(faults, seed).step(ones, ones)[1].any() for seed in range(300)]
    assert abs(np.mean(first) - 0.5) <= 4 * np.sqrt(0.25 / 300)


def test_masks_flicker_at_the_rate_that_is_set():
    n = 3000
    mask = np.zeros((SIZE, SIZE, 1), np.uint8)
    mask[8:16, 8:16] = 255
    faults = EpisodeFaults(make_faults({"name": "flicker", "rate": 0.4, "radius": 3}), 2)
    areas = np.array([np.count_nonzero(faults.step(mask, mask)[1]) for _ in range(n)])
    counts = {side: np.mean(areas == side**2) for side in (2, 4, 6, 8, 10, 12, 14)}
    assert sum(counts.values()) == pytest.approx(1)
    assert counts.pop(8) == pytest.approx(0.6, abs=4 * np.sqrt(0.24 / n))
    assert all(abs(share - 0.4 / 6) <= 4 * np.sqrt(0.062 / n) for share in counts.values())


def test_false_positives_are_discs_that_stay():
    empty = np.zeros((40, 40, 1), np.uint8)
    faults = EpisodeFaults(make_faults({"name": "false_positives", "count": 1, "radius": 5, "hold": 4}), 8)
    shown = [faults.step(empty, empty)[1] for _ in range(400)]
    assert all(np.array_equal(shown[t], shown[t - t % 4]) for t in range(400))
    areas = [np.count_nonzero(mask) for mask in shown[::4]]
    # Whole where the disc lies inside the frame, and never larger than its circle allows.
    assert np.pi * 5**2 * 0.9 < max(areas) < np.pi * 5**2 * 1.1
    centre = np.mean([np.argwhere(mask[..., 0]).mean(axis=0) for mask in shown[::4]], axis=0)
    assert np.abs(centre - 19.5).max() < 4


def test_false_positives_take_nothing_away():
    pixels, masks = moving_blobs(20)
    assert (live({"name": "false_positives", "count": 5}, 1, pixels, masks)[1] >= masks).all()


boxes = st.builds(
    lambda top, left, height, width: Box(top, top + height, left, left + width),
    st.integers(0, 20),
    st.integers(0, 20),
    st.integers(1, 64),
    st.integers(1, 64),
)


@given(
    box=boxes, fraction=rates, aspect=st.floats(np.exp(-0.5), np.exp(0.5)), place=st.tuples(*[st.floats(0, 0.999)] * 2)
)
@settings(max_examples=300)
def test_the_rectangle_lies_in_the_box_and_has_the_set_area(box, fraction, aspect, place):
    found = rectangle_in(box, fraction, aspect, *place)
    assert box | found == box
    # Whole rows and columns: at most half a row or column is missing or too much.
    longest = max(found.bottom - found.top, found.right - found.left, 1)
    assert abs(found.area - fraction * box.area) <= longest / 2 + 0.5


@given(box=boxes, place=st.tuples(*[st.floats(0, 0.999)] * 2))
def test_the_whole_box_is_hidden_at_fraction_one(box, place):
    assert rectangle_in(box, 1.0, 1.0, *place) == box


def hidden(pixels, shown):
    """The box of the pixels that changed, and whether it is grey throughout."""
    changed = (pixels != shown).any(axis=-1, keepdims=True)
    box = box_of(np.where(changed, np.uint8(255), np.uint8(0)))
    grey = (shown[box.top : box.bottom, box.left : box.right] == 128).all()
    return box, grey


@given(fraction=st.sampled_from([0.25, 0.5, 0.75]), seed=seeds)
def test_occlusion_of_an_episode_is_the_paper_s(fraction, seed):
    pixels, masks = moving_blobs(15)
    config = {"name": "occlusion", "fraction": fraction, "box": "episode"}
    shown, cut = recorded(config, seed, pixels, masks, range(15))
    union = box_of(masks.max(axis=0))
    found = [hidden(p, s) for p, s in zip(pixels, shown, strict=True)]
    [(rectangle, grey)] = set(found)  # the same in every frame
    assert grey
    assert union | rectangle == union
    assert abs(rectangle.area / union.area - fraction) <= 12 / union.area
    inside = np.zeros((SIZE, SIZE, 1), bool)
    inside[rectangle.top : rectangle.bottom, rectangle.left : rectangle.right] = True
    assert np.array_equal(cut, np.where(inside, 0, masks))


def test_the_live_occlusion_ends_as_the_paper_s():
    pixels, masks = moving_blobs(15)
    last = []
    for box in ("seen", "episode"):
        config = {"name": "occlusion", "fraction": 0.5, "box": box}
        last.append([part[-1] for part in recorded(config, 4, pixels, masks, range(15))])
    assert np.array_equal(last[0][0], last[1][0])
    assert np.array_equal(last[0][1], last[1][1])


def test_the_live_occlusion_knows_only_what_was_seen():
    pixels, masks = moving_blobs(15)
    config = {"name": "occlusion", "fraction": 0.5}
    whole, start = live(config, 4, pixels, masks), live(config, 4, pixels[:7], masks[:7])
    assert np.array_equal(whole[0][:7], start[0])
    for t in range(15):
        rectangle, _ = hidden(pixels[t], whole[0][t])
        seen = box_of(masks[: t + 1].max(axis=0))
        assert seen | rectangle == seen
        assert abs(rectangle.area / seen.area - 0.5) <= 12 / seen.area


def test_aspect_and_place_of_the_rectangle_vary_as_they_should():
    mask = np.full((64, 64, 1), 255, np.uint8)
    pixels = np.zeros((64, 64, 3), np.uint8)
    faults = make_faults({"name": "occlusion", "fraction": 0.25})
    found = [hidden(pixels, EpisodeFaults(faults, seed).step(pixels, mask)[0])[0] for seed in range(300)]
    logs = np.log([(box.bottom - box.top) / (box.right - box.left) for box in found])
    assert np.abs(logs).max() < 0.56
    assert abs(np.mean(logs)) < 4 * np.sqrt(1 / 12 / 300)
    assert abs(np.std(logs) - np.sqrt(1 / 12)) < 0.05
    assert abs(np.mean([(box.top + box.bottom) / 2 for box in found]) - 32) < 4 * 10 / np.sqrt(300)


def test_masks_alone_can_be_occluded():
    pixels, masks = moving_blobs(5)
    shown, cut = live({"name": "occlusion", "pixels": False}, 0, pixels, masks)
    assert np.array_equal(shown, pixels)
    assert cut.sum() < masks.sum()


def test_an_empty_mask_hides_nothing():
    pixels, masks = moving_blobs(4)
    shown, cut = live("occlusion", 0, pixels, np.zeros_like(masks))
    assert np.array_equal(shown, pixels)
    assert not cut.any()


def test_a_running_episode_has_no_whole():
    with pytest.raises(ValueError, match="needs all frames of an episode.*box='seen' live"):
        EpisodeFaults(make_faults({"name": "occlusion", "box": "episode"}), 0)


def test_each_fault_of_a_list_has_its_own_stream():
    ones = np.full((1, 1, 1), 255, np.uint8)

    def lost(config):
        faults = EpisodeFaults(make_faults(config), 5)
        return np.array([not faults.step(ones, ones)[1].any() for _ in range(300)])

    half = {"name": "dropout", "rate": 0.5}
    assert lost([half, half]).mean() > lost(half).mean() + 0.1


@given(seed=seeds, radius=st.integers(0, 16), count=st.integers(0, 4))
def test_false_positives_are_the_pixels_near_their_centres(seed, radius, count):
    pixels, masks = moving_blobs(3)
    [fault] = make_faults({"name": "false_positives", "count": count, "radius": radius})
    shown = live({"name": "false_positives", "count": count, "radius": radius}, seed, pixels, masks)[1]
    numbers = FrameNumbers(np.random.SeedSequence(seed, spawn_key=(STREAM, 0)), 2 * count)
    places = np.arange(SIZE) + 0.5
    for t in range(3):
        expected = masks[t, ..., 0] == 255
        for y, x in numbers[t].reshape(-1, 2) * SIZE:
            expected |= (places[:, None] - y) ** 2 + (places - x) ** 2 <= fault.radius**2
        assert np.array_equal(shown[t, ..., 0] == 255, expected)


@given(share=rates, seed=seeds)
def test_a_share_of_the_ghost_is_taken_from_one_side(share, seed):
    pixels, masks = moving_blobs(4)
    shown = live({"name": "ghost", "share": share}, seed, pixels, masks)[1]
    for mask, faulty in zip(masks, shown, strict=True):
        ghost = ghosts(mask)
        added = (faulty == 255) & (mask == 0)
        assert added.sum() == round(share * np.count_nonzero(ghost))
        assert (ghost[added] == 255).all() and (faulty >= mask).all()
        # A line parts what is taken from what is left: their hulls' centres differ, no taken pixel lies among the left.
        taken, left = np.argwhere(added[..., 0]), np.argwhere((ghost == 255)[..., 0] & ~added[..., 0])
        if len(taken) and len(left):
            angles = np.linspace(0, 2 * np.pi, 721)[:, None]
            down, right = np.sin(angles), np.cos(angles)
            ends = [(down * part[:, 0] + right * part[:, 1]) for part in (taken, left)]
            assert (ends[0].max(axis=1) <= ends[1].min(axis=1) + 0.25).any()


def test_a_ghost_that_is_not_told_is_an_error():
    pixels, masks = moving_blobs(1)
    faults = EpisodeFaults(make_faults("ghost"), 0)
    assert faults.needs_ghost and not EpisodeFaults(make_faults("erosion"), 0).needs_ghost
    with pytest.raises(LookupError, match="not told which pixels are the ghost's"):
        faults.step(pixels[0], masks[0])


@given(
    seed=seeds,
    spans=st.lists(st.tuples(st.integers(0, 500), st.integers(1, 300)), min_size=1, max_size=5),
    width=st.integers(1, 3),
)
def test_a_frame_s_numbers_are_the_same_in_any_order(seed, spans, width):
    seeds = np.random.SeedSequence(seed)
    one_by_one = FrameNumbers(seeds, width)
    rows = np.stack([one_by_one[t] for t in range(800)])
    numbers = FrameNumbers(seeds, width, reach=300)
    for first, count in spans:
        assert np.array_equal(numbers.span(first, first + count), rows[first : first + count])
        assert np.array_equal(numbers[first], rows[first])
    assert len(numbers._blocks) <= 6
    assert len(np.unique(rows)) == rows.size
