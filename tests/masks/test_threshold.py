"""One rule says which pixels of a mask are the agent's, whatever its type."""

import ast

import numpy as np
import pytest

from masklam_envs.data.formats.episodes import rgbm_of
from masklam_envs.masks.threshold import hard, is_agent


@pytest.mark.parametrize(
    ("mask", "want"),
    [
        (np.array([0.0, 0.499, 0.5, 1.0], np.float32), [False, False, True, True]),
        (np.array([0, 127, 128, 255], np.uint8), [False, False, True, True]),
        (np.array([False, False, True, True]), [False, False, True, True]),
    ],
)
def test_half_of_the_range_is_the_agent_s(mask, want):
    assert is_agent(mask).tolist() == want
    assert hard(mask).tolist() == [255 * each for each in want] and hard(mask).dtype == np.uint8
    pixels = np.zeros((1, 2, 2, 3), np.uint8)
    assert rgbm_of("here", pixels, mask.reshape(1, 2, 2))[..., 3].ravel().tolist() == hard(mask).tolist()


def test_whole_numbers_of_0_and_1_are_flags():
    flags = np.array([[[0, 1], [1, 0]]])
    for dtype in (np.uint8, np.int64):
        found = rgbm_of("here", np.zeros((1, 2, 2, 3), np.uint8), flags.astype(dtype))[..., 3]
        assert found.tolist() == (255 * flags).tolist()


def test_no_other_module_has_a_rule_of_its_own(repo):
    """No comparison of anything with 127, 128 or 0.5 whose other side is named after a mask."""
    found = []
    for package in ("masklam_envs", "masklam_agents"):
        for path in (repo / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Compare) and "mask" in ast.unparse(node).lower() and has_half(node):
                    found.append(f"{path.relative_to(repo)}: {ast.unparse(node)}")
    # Pictures of pixels on both sides of the edge, and PyTorch's tensors, which `is_agent` does not take.
    allowed = ("common/pictures.py", "masks/sam.py", "masks/threshold.py")
    assert not [each for each in found if not each.partition(":")[0].endswith(allowed)]


def has_half(node):
    numbers = [each.value for each in ast.walk(node) if isinstance(each, ast.Constant)]
    return any(type(number) in (int, float) and number in (127, 128, 0.5) for number in numbers)
