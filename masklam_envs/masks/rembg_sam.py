"""rembg's session ``"sam"``: the first Segment Anything on single pictures, told where to look by a box or points.

It has two networks and a prompt, so it is run whole; its masks are 0 or 1 already and nothing is stretched.

* :class:`RembgSam` - what the mask source ``"rembg"`` runs for ``model="sam"``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklam_envs.masks.onnx_runtime import shortage_told
from masklam_envs.masks.prompts import check_prompt, paper_box
from masklam_envs.masks.threshold import is_agent

KINDS = ("box", "points", "paper")
#: files of the smallest of its three networks, the one that rembg takes by itself
FILES = ("sam_vit_b_01ec64.encoder.onnx", "sam_vit_b_01ec64.decoder.onnx")


class RembgSam:
    """The same prompt on every frame: for an agent that the camera follows, or one that stays in its box.

    :param session: rembg's
    :param file: of its encoder, for messages
    :param prompt: used where none is given
    :raises ValueError: when its networks are not those of Segment Anything
    """

    def __init__(self, session: Any, file: Path, prompt: Any) -> None:
        if prompt is not None:
            check_prompt(prompt, kinds=KINDS)
        self.prompt, self._session, self._file = prompt, session, file
        self.providers = tuple(session.encoder.get_providers())
        self._mask(np.full((32, 32, 3), 128, np.uint8), {"points": [[16, 16]]})

    def segment(self, frames: NDArray[np.uint8], prompt: Any = None) -> NDArray[np.float32]:
        """Masks (T, H, W) float32, 0 or 1, of frames (T, H, W, 3)."""
        prompt = prompt if prompt is not None else self.prompt
        check_prompt(prompt, frames.shape[1:3], KINDS)
        return np.stack([self._mask(frame, prompt) for frame in frames])

    def _mask(self, frame: NDArray[np.uint8], prompt: dict[str, Any]) -> NDArray[np.float32]:
        from PIL import Image

        picture = Image.fromarray(frame)
        try:
            with shortage_told(1):
                [mask] = self._session.predict(picture, sam_prompt=_marks(prompt, frame.shape[:2]))
        except MemoryError:
            raise
        except Exception as error:  # ONNX Runtime's own errors have no common base
            raise ValueError(
                f"{self._file} is no encoder of rembg's 'sam', or does not fit the decoder beside it: {error}"
            ) from error
        found = np.asarray(mask)
        if found.shape != frame.shape[:2]:
            raise ValueError(f"{self._file} gives masks of shape {found.shape} for frames of {frame.shape[:2]}")
        return is_agent(found).astype(np.float32)


def _marks(prompt: dict[str, Any], size: tuple[int, ...]) -> list[dict[str, Any]]:
    """A prompt as rembg's session takes it."""
    if "points" in prompt:
        labels = prompt.get("labels", [1] * len(prompt["points"]))
        return [
            {"type": "point", "label": int(label), "data": [float(x) for x in point]}
            for point, label in zip(prompt["points"], labels, strict=True)
        ]
    box = prompt["box"] if "box" in prompt else paper_box(prompt["paper"], size)
    return [{"type": "rectangle", "data": [float(x) for x in box]}]
