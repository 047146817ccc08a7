"""Mask faults equal their definition, written pixel by pixel, and the laws of mathematical morphology."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from masklam_envs.masks import make_faults
from masklam_envs.masks.faults import FAULTS, MAX_RADIUS

MORPHOLOGY = ("dilation", "erosion")
sides = st.integers(1, 9)
masks = st.tuples(sides, sides, st.just(1)).flatmap(lambda shape: hnp.arrays(np.uint8, shape))
radii = st.integers(0, MAX_RADIUS)


def fault(name, radius):
    [made] = make_faults({"name": name, "radius": radius})
    return made


def neighbourhood_by_hand(mask, radius, choose):
    """``choose`` of the values at most ``radius`` rows and columns away, inside the frame."""
    out = np.empty_like(mask)
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            near = mask[max(y - radius, 0) : y + radius + 1, max(x - radius, 0) : x + radius + 1, 0]
            out[y, x, 0] = choose(near)
    return out


@given(mask=masks, radius=radii)
def test_dilation_is_the_largest_value_nearby(mask, radius):
    assert np.array_equal(fault("dilation", radius)(mask), neighbourhood_by_hand(mask, radius, np.max))


@given(mask=masks, radius=radii)
def test_erosion_is_the_smallest_value_nearby(mask, radius):
    assert np.array_equal(fault("erosion", radius)(mask), neighbourhood_by_hand(mask, radius, np.min))


@given(mask=masks, radius=radii)
def test_closing_loses_no_agent_and_opening_adds_none(mask, radius):
    erosion, dilation = fault("erosion", radius), fault("dilation", radius)
    assert (erosion(dilation(mask)) >= mask).all()
    assert (dilation(erosion(mask)) <= mask).all()


@given(mask=masks, first=st.integers(0, 5), second=st.integers(0, 5), name=st.sampled_from(MORPHOLOGY))
def test_radii_add_up(mask, first, second, name):
    assert np.array_equal(fault(name, second)(fault(name, first)(mask)), fault(name, first + second)(mask))


@given(mask=masks, radius=radii, name=st.sampled_from(MORPHOLOGY))
def test_the_input_stays_and_the_output_is_fresh(mask, radius, name):
    before = mask.copy()
    out = fault(name, radius)(mask)
    assert np.array_equal(mask, before)
    assert not np.shares_memory(out, mask)
    assert (out.dtype, out.shape) == (np.uint8, mask.shape)


@pytest.mark.parametrize("config", [None, []])
def test_no_fault_is_an_empty_list(config):
    assert make_faults(config) == []


def test_a_list_applies_in_order():
    mask = np.zeros((7, 7, 1), np.uint8)
    mask[3, 3] = 255
    erased = mask
    for made in make_faults(["erosion", "dilation"]):
        erased = made(erased)
    kept = mask
    for made in make_faults(["dilation", "erosion"]):
        kept = made(kept)
    assert not erased.any()
    assert np.array_equal(kept, mask)


def test_a_name_alone_has_radius_one():
    mask = np.zeros((7, 7, 1), np.uint8)
    mask[3, 3] = 255
    [dilation] = make_faults("dilation")
    assert np.array_equal(dilation(mask), fault("dilation", 1)(mask))


@pytest.mark.parametrize("name", FAULTS)
def test_every_name_alone_is_a_configuration(name):
    assert len(make_faults([name, {"name": name}])) == 2


def test_a_configuration_is_not_changed():
    config = [{"name": "erosion", "radius": 2}]
    before = json.dumps(config)
    make_faults(config)
    assert json.dumps(config) == before


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("erosoin", "unknown mask fault 'erosoin'. Did you mean 'erosion'\\? Known: dilation, dropout, erosion"),
        ({"radius": 1}, "unknown mask fault None"),
        ({"name": "erosion", "raduis": 1}, "unknown option of mask fault 'erosion' 'raduis'. Did you mean 'radius'"),
        ({"name": "erosion", "radius": -1}, r"radius of 'erosion' must be an integer in \[0, 16\]"),
        ({"name": "erosion", "radius": 17}, "got 17"),
        ({"name": "erosion", "radius": 1.0}, "got 1.0"),
        ({"name": "erosion", "radius": True}, "got True"),
        ({"name": "dropout", "rate": 1.5}, r"rate of 'dropout' must be a number in \[0, 1\], got 1.5"),
        ({"name": "dropout", "rate": float("nan")}, "got nan"),
        ({"name": "dropout", "burst": 0}, r"burst of 'dropout' must be an integer in \[1, 1000\] frames, got 0"),
        ({"name": "occlusion", "box": "all"}, "box of 'occlusion' must be one of 'seen', 'episode', got 'all'"),
        ({"name": "occlusion", "pixels": 1}, "pixels of 'occlusion' must be one of True, False, got 1"),
        (3, "mask_faults must be a name, a dict or a list of them, got int"),
        ([3], "a mask fault is a name or a dict with a 'name', got 3"),
    ],
)
def test_bad_configurations_say_what_is_wrong(config, message):
    with pytest.raises(ValueError, match=message):
        make_faults(config)
