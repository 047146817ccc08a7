"""Masks for video that came without: what moves, or what a segmentation model finds.

* :class:`MaskSource` - the protocol: frames in, a mask in [0, 1] out.
* :class:`Motion` - what differs from the background of a camera that stands still.
* :class:`Rembg` - salient objects by a model file of rembg's.
* :func:`make_mask_source` - by name.

Each is an estimate: score it against masks you trust (``masklam inspect`` says how large and how steady they are).
"""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from masklam_envs.errors import unknown_name

SOURCES = ("motion", "none", "rembg")
CUSTOM = "u2net_custom"


class MaskSource(Protocol):
    """Where masks come from."""

    #: side to which frames are cut down before they are segmented, pixels
    working_size: int

    def segment(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """How sure it is of the agent, in [0, 1].

        :param frames: (T, H, W, 3) uint8 of one clip, in order
        :return: (T, H, W) float32
        """


class Motion:
    """What differs from the median of the clip: for a camera that stands still and an agent that moves about.

    Noise is the median of the differences, scaled to the standard deviation of Gaussian noise; a pixel counts as moving
    from ``threshold`` of those on.  Specks are opened away and holes closed with a disc of ``radius``.

    :param threshold: in standard deviations of the noise, above 0
    :param radius: pixels of the working size, at least 0
    """

    working_size = 128
    BACKGROUND_FRAMES = 64
    LEAST_NOISE = 4.0  # grey levels: a clip without noise would call every rounding a motion

    def __init__(self, threshold: float = 6.0, radius: int = 2) -> None:
        if not threshold > 0 or radius < 0:
            raise ValueError(f"threshold must be above 0 and radius at least 0, got {threshold} and {radius}")
        self.threshold, self.radius = threshold, radius

    def segment(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See :class:`MaskSource`."""
        import cv2

        chosen = np.linspace(0, len(frames) - 1, min(len(frames), self.BACKGROUND_FRAMES)).astype(int)
        background = np.median(frames[chosen], axis=0).astype(np.int16)
        side = 2 * self.radius + 1
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        out = np.empty(frames.shape[:3], np.float32)
        for frame, mask in zip(frames, out, strict=True):
            difference = np.abs(frame - background).max(axis=2).astype(np.float32)
            noise = max(1.4826 * float(np.median(difference)), self.LEAST_NOISE)
            moving = (difference > self.threshold * noise).astype(np.uint8)
            moving = cv2.morphologyEx(moving, cv2.MORPH_OPEN, disc)
            mask[:] = cv2.morphologyEx(moving, cv2.MORPH_CLOSE, disc)
        return out


class Rembg:
    """Salient objects, frame by frame, by a model of rembg's that lies on the disk: nothing is ever downloaded.

    rembg stretches every frame's mask to [0, 1], so an empty frame gives noise: look at the masks' sizes.

    :param model: rembg's name of the model; ``"u2net_custom"`` takes a file of yours
    :param model_path: that file (.onnx)
    :raises FileNotFoundError: naming the file, its folder and the command when the model is not there
    :raises ImportError: naming the extra when rembg or an ONNX runtime is missing
    """

    working_size = 320  # what U2-Net sees anyway

    def __init__(self, model: str = "u2net", model_path: str | os.PathLike[str] | None = None) -> None:
        # `import rembg` without an ONNX runtime ends the process, so that is looked for first.
        if importlib.util.find_spec("onnxruntime") is None or importlib.util.find_spec("rembg") is None:
            raise ImportError("mask source 'rembg' needs rembg and an ONNX runtime: pip install 'masklam[rembg]'")
        file = _custom_file(model_path) if model == CUSTOM else _stock_file(model)
        import rembg

        # One provider, named: rembg tries a GPU first and only warns when that does not work.
        options: dict[str, Any] = {"providers": ["CPUExecutionProvider"]}
        if model == CUSTOM:
            # rembg reads a file of yours only from its own folder, so that is where the file is for a moment.
            with _environment("U2NET_HOME", str(file.parent)):
                self._session = rembg.new_session(CUSTOM, model_path=str(file), **options)
        else:
            self._session = rembg.new_session(model, **options)

    def segment(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See :class:`MaskSource`."""
        from PIL import Image

        out = np.empty(frames.shape[:3], np.float32)
        for frame, mask in zip(frames, out, strict=True):
            with np.errstate(invalid="ignore", divide="ignore"):  # rembg divides by 0 where a mask is flat
                mask[:] = np.asarray(self._session.predict(Image.fromarray(frame))[0], np.float32) / 255
        return out


def make_mask_source(name: str, **options: Any) -> MaskSource | None:
    """A mask source by name.

    :param name: ``"motion"``, ``"rembg"``, or ``"none"`` for no masks
    :param options: of :class:`Motion` or :class:`Rembg`
    :raises ValueError: for an unknown name or option

    >>> make_mask_source("motion", threshold=8.0).threshold
    8.0
    """
    kinds: dict[str, Any] = {"motion": Motion, "rembg": Rembg, "none": None}
    if name not in kinds:
        raise ValueError(unknown_name("mask source", name, SOURCES))
    kind = kinds[name]
    if kind is None:
        if options:
            raise ValueError(f"mask source 'none' has no options, got {sorted(options)}")
        return None
    known = list(inspect.signature(kind.__init__).parameters)[1:]
    for option in options:
        if option not in known:
            raise ValueError(unknown_name(f"option of mask source {name!r}", option, known))
    source: MaskSource = kind(**options)
    return source


def _stock_file(model: str) -> Path:
    """The file of a model of rembg's, where rembg looks for it."""
    data = os.environ.get("XDG_DATA_HOME")
    home = os.environ.get("U2NET_HOME") or os.environ.get("REMBG_HOME") or (f"{data}/rembg" if data else "~/.rembg")
    old = os.environ.get("U2NET_HOME") or f"{data or '~'}/.u2net"
    places = [Path(home).expanduser() / "models" / model / f"{model}.onnx", Path(old).expanduser() / f"{model}.onnx"]
    for place in places:
        if place.is_file():
            return place
    raise FileNotFoundError(
        f"the file {model}.onnx of rembg's model {model!r} is not in {places[0].parent}, and nothing is downloaded "
        f"behind your back: get it with `python -c \"import rembg; rembg.new_session('{model}')\"`, put it there, or "
        f"give a file of your own (model {CUSTOM!r}, model_path=FILE)"
    )


def _custom_file(path: str | os.PathLike[str] | None) -> Path:
    if path is None:
        raise ValueError(f"model {CUSTOM!r} needs model_path, the .onnx file of a U2-Net")
    file = Path(path).expanduser().absolute()
    if not file.is_file():
        raise FileNotFoundError(f"there is no model file {file.name} in {file.parent}; give the .onnx file of a U2-Net")
    return file


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before
