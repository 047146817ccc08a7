"""Masks for video that came without: what moves, or what a segmentation model finds.

* :class:`MaskSource` - the protocol: frames in, a mask in [0, 1] out.
* :class:`Motion` - what moves otherwise than the background.
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
CAMERAS = ("auto", "moving", "still")
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
    """What moves otherwise than the background.

    Where the camera stands still that is what differs from the median of the clip, by ``threshold`` standard deviations
    of the noise (estimated from the median difference).  Where it moves, neighbouring frames are laid over each other
    by their common displacement and what differs from both of them counts, above Otsu's threshold: a much rougher mask,
    the edges of what moves rather than its inside.  Specks are opened away and holes closed with a disc.

    :param threshold: in standard deviations of the noise, above 0
    :param radius: of the disc, pixels of the working size, at least 0
    :param camera: ``"still"``, ``"moving"``, or ``"auto"``: moving where half of the picture differs from the median of
        the clip by more than 12 grey levels
    """

    working_size = 128
    BACKGROUND_FRAMES = 64
    LEAST_NOISE = 4.0  # grey levels: a clip without noise would call every rounding a motion
    STILL_BELOW = 12.0  # grey levels

    def __init__(self, threshold: float = 6.0, radius: int = 2, camera: str = "auto") -> None:
        if not threshold > 0 or radius < 0:
            raise ValueError(f"threshold must be above 0 and radius at least 0, got {threshold} and {radius}")
        if camera not in CAMERAS:
            raise ValueError(unknown_name("camera", camera, CAMERAS))
        self.threshold, self.radius, self.camera = threshold, radius, camera

    def segment(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See :class:`MaskSource`."""
        import cv2

        chosen = np.linspace(0, len(frames) - 1, min(len(frames), self.BACKGROUND_FRAMES)).astype(int)
        background = np.median(frames[chosen], axis=0).astype(np.int16)
        typical = float(np.median([np.median(np.abs(frame - background).max(axis=2)) for frame in frames[chosen]]))
        moving_camera = self.camera == "moving" or (self.camera == "auto" and typical > self.STILL_BELOW)
        found = self._against_neighbours(frames) if moving_camera else self._against_background(frames, background)
        side = 2 * self.radius + 1
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        out = np.empty(frames.shape[:3], np.float32)
        for moving, mask in zip(found, out, strict=True):
            opened = moving if moving_camera else cv2.morphologyEx(moving, cv2.MORPH_OPEN, disc)
            closed = cv2.morphologyEx(opened, cv2.MORPH_CLOSE, disc)
            mask[:] = cv2.morphologyEx(closed, cv2.MORPH_OPEN, disc) if moving_camera else closed
        return out

    def _against_background(
        self, frames: NDArray[np.uint8], background: NDArray[np.int16]
    ) -> Iterator[NDArray[np.uint8]]:
        for frame in frames:
            difference = np.abs(frame - background).max(axis=2).astype(np.float32)
            noise = max(1.4826 * float(np.median(difference)), self.LEAST_NOISE)
            yield (difference > self.threshold * noise).astype(np.uint8)

    def _against_neighbours(self, frames: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
        import cv2

        grey = [cv2.GaussianBlur(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (0, 0), 1.0) for frame in frames]
        for t, now in enumerate(grey):
            others = [grey[i] for i in (t - 1, t + 1) if 0 <= i < len(grey)] or [now]
            difference = np.minimum.reduce([_difference(cv2, now, other) for other in others])
            level, _ = cv2.threshold(difference, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
            yield (difference > max(level, self.LEAST_NOISE)).astype(np.uint8)


def _difference(cv2: Any, now: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """How a grey picture differs from another that is laid over it by their common displacement."""
    window = cv2.createHanningWindow(now.shape[::-1], cv2.CV_32F)
    (x, y), _ = cv2.phaseCorrelate(other.astype(np.float32), now.astype(np.float32), window)
    moved = cv2.warpAffine(
        other, np.array([[1, 0, x], [0, 1, y]], np.float32), now.shape[::-1], borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(cv2.absdiff(now, moved), np.uint8)


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
