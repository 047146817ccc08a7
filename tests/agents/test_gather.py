import numpy as np
import pytest
import torch as th
from hypothesis import given
from hypothesis import strategies as st

from masklam_agents.common.gather import PATCH, gather
from masklam_agents.common.policies import as_tensor

LAYOUTS = ["image", "planes", "patches"]


def plain(frames, index, channels, shift):
    """The image layout, written slowly."""
    height, width = frames.shape[1:3]
    out = np.empty((*index.shape, height, width, channels), np.float32)
    for b, row in enumerate(index):
        for i, f in enumerate(row):
            rows = np.clip(np.arange(height) + shift[b, 0], 0, height - 1)
            columns = np.clip(np.arange(width) + shift[b, 1], 0, width - 1)
            image = frames[f][rows][:, columns].astype(np.float32) / 255
            image[..., :3] -= 0.5
            out[b, i] = image[..., :channels]
    return out.transpose(0, 2, 3, 1, 4).reshape(len(index), height, width, -1)


def to_patches(image, count, channels):
    batch, height, width = image.shape[:3]
    x = image.reshape(batch, height // 8, 2, PATCH, width // 8, 2, PATCH, count, channels)
    return x.transpose(0, 1, 4, 2, 5, 7, 3, 6, 8).reshape(batch, -1, count * channels * PATCH * PATCH)


@given(seed=st.integers(0, 2**32 - 1), mask=st.booleans(), shifted=st.booleans(), count=st.integers(1, 6))
def test_all_layouts_equal_a_plain_reimplementation(seed, mask, shifted, count):
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 256, (5, 8, 16, 4), dtype=np.uint8)
    index = rng.integers(0, 5, (3, count))
    shift = rng.integers(-3, 4, (3, 2)) if shifted else None
    channels = 4 if mask else 3
    want = plain(frames, index, channels, np.zeros((3, 2), int) if shift is None else shift)
    image = gather(frames, index, mask_channel=mask, layout="image", shift=shift)
    patches = gather(frames, index, mask_channel=mask, layout="patches", shift=shift)
    planes = gather(frames, index, mask_channel=mask, layout="planes", shift=shift)
    np.testing.assert_allclose(image, want, atol=1e-6)
    np.testing.assert_allclose(planes, want.transpose(0, 3, 1, 2), atol=1e-6)
    np.testing.assert_allclose(patches, to_patches(want, count, channels), atol=1e-6)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_values(layout):
    frames = np.zeros((1, 8, 8, 4), np.uint8)
    frames[..., 3] = 255
    x = gather(frames, np.zeros((1, 1), np.int64), mask_channel=True, layout=layout)
    assert set(np.unique(x)) == {-0.5, 1.0}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("shifted", [False, True])
def test_bf16_is_the_float32_rounded(layout, mask, shifted):
    """All bytes, in every channel: as torch rounds them."""
    frames = np.random.default_rng(0).permuted(np.tile(np.arange(256, dtype=np.uint8), (4, 1)), axis=1)
    frames = np.ascontiguousarray(frames.T.reshape(1, 16, 16, 4))
    shift = np.array([[2, -3]]) if shifted else None
    whole, half = (
        as_tensor(gather(frames, np.zeros((1, 2), np.int64), mask_channel=mask, layout=layout, shift=shift, half=half))
        for half in (False, True)
    )
    assert half.dtype == th.bfloat16
    assert th.equal(half, whole.bfloat16())
