"""A small network that was trained here to segment one agent: the source for live use.

``masklam train-segmenter`` writes its file, an ONNX graph from ``frames`` (B, S, S, 3) uint8 to ``mask`` (B, S, S)
float32 in [0, 1], which ONNX Runtime runs without torch.

* :class:`Student` - the mask source ``"student"``.
* :func:`default_student` - where its file lies when none is named.
"""

from __future__ import annotations

import functools
import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklam_envs.cache_folder import cache_folder, user_folder
from masklam_envs.masks.onnx_runtime import shortage_told, stamp
from masklam_envs.optional import opencv

INPUT, OUTPUT = "frames", "mask"


class Student:
    """A network trained by ``masklam train-segmenter``, frame by frame.

    Frames of another size than it was trained for are resized, and its masks back.

    :param path: its .onnx file; None: ``$MASKLAM_STUDENT``, else ``segmenters/student.onnx`` in the folder of
        ``$MASKLAM_CACHE`` or ``masklam`` in the user's cache folder
    :param batch: frames at a time; one is as fast as many
    :param threads: of ONNX Runtime in one run; with 1 the masks are the same bytes however often they are made
    :raises FileNotFoundError: naming the file, its folder and the command when it is not there
    :raises ImportError: naming the extra when there is no ONNX runtime
    :raises ValueError: when the file is none of a student
    """

    memory = 0
    takes_prompt = False

    def __init__(self, path: str | os.PathLike[str] | None = None, batch: int = 1, threads: int = 1) -> None:
        if batch < 1 or threads < 1:
            raise ValueError(f"batch and threads must be at least 1, got {batch} and {threads}")
        file = (Path(path) if path is not None else default_student()).expanduser().absolute()
        if not file.is_file():
            raise FileNotFoundError(
                f"there is no student {file.name} in {file.parent}: train one with "
                f"`masklam train-segmenter DATASET --out {file}`, or name another file (path=FILE)"
            )
        self._network = _network(file, stamp(file), threads)
        self.path, self.batch = file, batch
        #: side of the frames that it was trained for, pixels
        self.image_size = _side(self._network, file)
        #: see :class:`~masklam_envs.masks.sources.MaskSource`
        self.working_size = self.image_size
        self._check()

    def segment(self, frames: NDArray[np.uint8], prompt: Any = None) -> NDArray[np.float32]:
        """See :class:`~masklam_envs.masks.sources.MaskSource`; there is no prompt.

        :raises MemoryError: when ONNX Runtime has not enough for a batch
        """
        size = (self.image_size, self.image_size)
        given = frames if frames.shape[1:3] == size else _resized(frames, size)
        masks = np.concatenate([self._masks(given[i : i + self.batch]) for i in range(0, len(given), self.batch)])
        return masks if frames.shape[1:3] == size else np.clip(_resized(masks, frames.shape[1:3]), 0, 1)

    def _masks(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        with shortage_told(len(frames)):
            masks: NDArray[np.float32] = self._network.run([OUTPUT], {INPUT: np.ascontiguousarray(frames)})[0]
        return masks

    def _check(self) -> None:
        """One grey frame: whatever is wrong with the file is said now."""
        size = (1, self.image_size, self.image_size)
        try:
            found = self._masks(np.full((*size, 3), 128, np.uint8))
        except Exception as error:  # ONNX Runtime's own errors have no common base
            raise ValueError(f"{self.path} does not run: {error}; train the student again") from error
        if found.shape != size or found.dtype.kind != "f" or not ((found >= 0) & (found <= 1)).all():
            raise ValueError(
                f"{self.path} gives {found.dtype} {found.shape} from {found.min():.3g} to {found.max():.3g}, not masks "
                f"float32 {size} in [0, 1]; train the student again"
            )


def default_student() -> Path:
    """Where a student's file lies when none is named."""
    if named := os.environ.get("MASKLAM_STUDENT"):
        return Path(named)
    return (cache_folder() or user_folder()) / "segmenters" / "student.onnx"


@functools.lru_cache(maxsize=8)
def _network(file: Path, _stamp: tuple[int, int], threads: int) -> Any:
    if importlib.util.find_spec("onnxruntime") is None:
        raise ImportError("mask source 'student' needs an ONNX runtime: pip install 'masklam[rembg]'")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own errors have no common base
        raise ValueError(f"{file} is no ONNX file that can be read ({error}); train the student again") from error


def _side(network: Any, file: Path) -> int:
    """The side of the frames that a network wants."""
    inputs, outputs = network.get_inputs(), network.get_outputs()
    shape = inputs[0].shape
    named = [entry.name for entry in (*inputs, *outputs)] == [INPUT, OUTPUT]
    if not named or inputs[0].type != "tensor(uint8)" or len(shape) != 4 or shape[3] != 3 or shape[1] != shape[2]:
        has = ", ".join(f"{entry.name}: {entry.type} {entry.shape}" for entry in (*inputs, *outputs))
        raise ValueError(
            f"{file} is no student of `masklam train-segmenter` (frames: uint8 (B, S, S, 3) to mask: float (B, S, S)) "
            f"but has {has}; a model of rembg's kind runs as {{'name': 'rembg', 'model': 'u2net_custom', "
            f"'model_path': {str(file)!r}}}"
        )
    return int(shape[1])


def _resized(images: NDArray[Any], size: tuple[int, ...]) -> NDArray[Any]:
    cv2 = opencv()
    method = cv2.INTER_AREA if images.shape[1] > size[0] else cv2.INTER_LINEAR
    return np.stack([cv2.resize(image, size[::-1], interpolation=method) for image in images])
