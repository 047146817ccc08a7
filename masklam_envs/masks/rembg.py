"""Salient objects by rembg's models, without what rembg does to their output.

rembg stretches every frame's mask to 0..255 by itself, so that a frame without agent becomes noise and the edges of the
others flicker.  Here a session of rembg prepares the picture, and the numbers of the network are taken as they are.

* :class:`Rembg` - the mask source ``"rembg"``.
* :func:`rembg_models` - the names of models that run here.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklam_envs.errors import unknown_name
from masklam_envs.masks.onnx_runtime import shortage_told, stamp
from masklam_envs.masks.rembg_sam import FILES as SAM_FILES
from masklam_envs.masks.rembg_sam import RembgSam
from masklam_envs.optional import opencv
from masklam_envs.variables import environment

CUSTOM = ("u2net_custom", "dis_custom", "ben_custom")
ACTIVATIONS = ("auto", "none", "sigmoid")
SAM, CLOTHES = "sam", "u2net_cloth_seg"


class Rembg:
    """Salient objects, frame by frame, by a model of rembg's that lies on the disk: nothing is ever downloaded.

    A session is made once for each model, file and providers, and shared by all sources of a process.

    :param model: rembg's name of the model; ``"u2net_custom"``, ``"dis_custom"`` and ``"ben_custom"`` take a file of
        yours.  ``"sam"`` (the first Segment Anything, on single pictures) is told where to look by a prompt, the same
        in every frame, and of the options below takes ``threads`` alone; on the CPU
    :param model_path: that file (.onnx), anywhere
    :param providers: ONNX Runtime's, in order of preference, e.g. ``["CUDAExecutionProvider",
        "CPUExecutionProvider"]``; ``"auto"``: CUDA where this build has it, then the CPU.  The attribute ``providers``
        says what the session got
    :param upscale: side in pixels to which smaller frames are enlarged (bicubic) before rembg makes them the size that
        the model wants (Lanczos); 0: not at all
    :param low: the network's output that becomes 0, the same in every frame
    :param high: the network's output that becomes 1
    :param activation: ``"sigmoid"`` where the network gives logits, ``"none"`` where it gives shares; ``"auto"`` is
        what rembg's session does
    :param batch: frames at a time, where the model allows it
    :param threads: of ONNX Runtime in one run
    :param prompt: of ``model="sam"``, used where none is given: a box or points,
        see :mod:`~masklam_envs.masks.prompts`
    :raises FileNotFoundError: naming the file, its folder and the command when the model is not there
    :raises ImportError: naming the extra when rembg or an ONNX runtime is missing
    :raises ValueError: for an unknown model or provider, a model that runs elsewhere, or a file that is no segmenter
    """

    memory = 0
    working_size = 320  # what U2-Net sees anyway
    takes_prompt = False

    def __init__(
        self,
        model: str = "u2net",
        model_path: str | os.PathLike[str] | None = None,
        providers: Sequence[str] | str = "auto",
        upscale: int = 0,
        low: float = 0.0,
        high: float = 1.0,
        activation: str = "auto",
        batch: int = 8,
        threads: int = 1,
        prompt: Any = None,
    ) -> None:
        if not low < high:
            raise ValueError(f"low must be below high, got {low} and {high}")
        if activation not in ACTIVATIONS:
            raise ValueError(unknown_name("activation", activation, ACTIVATIONS))
        if upscale < 0 or batch < 1 or threads < 1:
            raise ValueError(f"upscale >= 0, batch and threads >= 1 are needed, got {upscale}, {batch} and {threads}")
        if prompt is not None and model != SAM:
            raise ValueError(f"rembg's {model!r} finds what is salient and takes no prompt; model={SAM!r} does")
        _need_rembg()
        _check_name(model)
        file = _custom_file(model, model_path) if model in CUSTOM else _stock_file(model)
        self.path, self.model = file, model
        self.upscale, self.low, self.high, self.batch = upscale, low, high, batch
        self._session = _session(model, file, stamp(file), _providers(providers), threads)
        self._sam = RembgSam(self._session, file, prompt) if model == SAM else None
        self.takes_prompt = model == SAM
        if self._sam is not None:
            self.providers = self._sam.providers
            return
        self._network = self._session.inner_session
        #: ONNX Runtime's providers that the session runs on, the preferred one first
        self.providers = tuple(self._network.get_providers())
        self._sigmoid = activation == "sigmoid" or (activation == "auto" and hasattr(self._session, "sigmoid"))
        self._clothes = model == CLOTHES
        self._check(file)

    def segment(self, frames: NDArray[np.uint8], prompt: Any = None) -> NDArray[np.float32]:
        """See :class:`~masklam_envs.masks.sources.MaskSource`; a prompt is for ``model="sam"``.

        :raises MemoryError: when ONNX Runtime has not enough for a batch
        """
        if self._sam is not None:
            return self._sam.segment(frames, prompt)
        out = np.empty(frames.shape[:3], np.float32)
        for first in range(0, len(frames), self.batch):
            part = frames[first : first + self.batch]
            with shortage_told(self.batch):
                outputs = self._outputs(part)
            for mask, raw in zip(out[first : first + self.batch], outputs, strict=True):
                mask[:] = self._soft(raw, frames.shape[1:3])
        return out

    def _outputs(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What the network says of some frames: (T, C, h, w)."""
        feeds = [_feed(self._session, self._enlarged(frame)) for frame in frames]
        (name,), run = feeds[0], self._network.run
        if self._batches:
            return np.asarray(run(None, {name: np.concatenate([feed[name] for feed in feeds])})[0], np.float32)
        return np.concatenate([np.asarray(run(None, feed)[0], np.float32) for feed in feeds])

    def _enlarged(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if not self.upscale or max(frame.shape[:2]) >= self.upscale:
            return frame
        cv2 = opencv()
        return np.asarray(cv2.resize(frame, (self.upscale, self.upscale), interpolation=cv2.INTER_CUBIC), np.uint8)

    def _soft(self, raw: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.float32]:
        """The network's output (C, h, w) as a mask of a size, by the same numbers in every frame."""
        cv2 = opencv()
        # Of clothes there are several classes, the first of which is the background.
        share = (raw.argmax(axis=0) > 0).astype(np.float32) if self._clothes else raw[0]
        if self._sigmoid and not self._clothes:
            share = 1 / (1 + np.exp(-share))
        mask = np.clip((share - self.low) / (self.high - self.low), 0, 1)
        shrinks = mask.shape[0] > size[0]
        return np.asarray(
            cv2.resize(mask, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR), np.float32
        )

    @property
    def _batches(self) -> bool:
        """Whether the model takes several pictures at a time."""
        return not isinstance(self._network.get_inputs()[0].shape[0], int)

    def _check(self, file: Path) -> None:
        """One grey picture: whatever is wrong with a file is said now."""
        try:
            raw = self._outputs(np.full((1, 32, 32, 3), 128, np.uint8))
        except Exception as error:  # ONNX Runtime's own errors have no common base
            raise ValueError(f"{file} is no segmentation model for rembg's {self.model!r}: {error}") from error
        due = "a map (1, classes, height, width)" if self._clothes else "one map (1, 1, height, width)"
        fits = raw.ndim == 4 and len(raw) == 1 and (raw.shape[1] > 1) == self._clothes
        if not fits or not np.isfinite(raw).all():
            raise ValueError(
                f"{file} is no segmentation model for rembg's {self.model!r}: its first output has shape {raw.shape}, "
                f"{due} of finite numbers is due"
            )
        if not self._sigmoid and not self._clothes and (raw.min() < self.low - 1 or raw.max() > self.high + 1):
            raise ValueError(
                f"{file} gives numbers from {raw.min():.3g} to {raw.max():.3g}: logits? Then use activation='sigmoid', "
                "or say what becomes 0 and 1 (low, high)"
            )


@functools.lru_cache(maxsize=1)
def rembg_models() -> tuple[str, ...]:
    """The models of the installed rembg that run on this machine.

    :raises ImportError: naming the extra when rembg or an ONNX runtime is missing
    """
    _need_rembg()
    from rembg.sessions import sessions

    return tuple(sorted(name for name, kind in sessions.items() if kind.is_local()))


def _check_name(model: str) -> None:
    if model in (known := rembg_models()):
        return
    from rembg.sessions import sessions

    if model in sessions:
        raise ValueError(
            f"rembg's {model!r} sends every frame to a server that bills you for it, which is not done here; models "
            f"that run on this machine: {', '.join(known)}"
        )
    raise ValueError(unknown_name("rembg model", model, known))


def _need_rembg() -> None:
    # `import rembg` without an ONNX runtime ends the process, so that is looked for first.
    if importlib.util.find_spec("onnxruntime") is None or importlib.util.find_spec("rembg") is None:
        raise ImportError("mask source 'rembg' needs rembg and an ONNX runtime: pip install 'masklam[rembg]'")


class _FeedError(Exception):
    """Carries what a session was about to give to its network."""

    def __init__(self, feed: dict[str, Any]) -> None:
        super().__init__()
        self.feed = feed


class _Catcher:
    """Stands for the network of a session, to learn what the session gives it."""

    def __init__(self, network: Any) -> None:
        self.get_inputs = network.get_inputs

    def run(self, outputs: Any, feed: dict[str, Any]) -> Any:
        raise _FeedError(feed)


_CATCHING = threading.Lock()


def _feed(session: Any, frame: NDArray[np.uint8]) -> dict[str, Any]:
    """The network's input for a frame, as the session prepares it (each has its own size, mean and deviation)."""
    from PIL import Image

    with _CATCHING:
        network = session.inner_session
        session.inner_session = _Catcher(network)
        try:
            session.predict(Image.fromarray(frame))
        except _FeedError as caught:
            return caught.feed
        finally:
            session.inner_session = network
    raise ValueError(f"rembg's session {session.model_name!r} did not run its network")


@functools.lru_cache(maxsize=4)
def _session(model: str, file: Path, _stamp: tuple[int, int], providers: tuple[str, ...], threads: int) -> Any:
    """A session of rembg's."""
    import onnxruntime
    import rembg

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    given: dict[str, Any] = {"providers": list(providers), "sess_opts": options}
    try:
        if model not in CUSTOM:
            return rembg.new_session(model, **given)
        # rembg reads a file of yours only from its own folder, so that is where the file is for a moment.
        with environment(U2NET_HOME=str(file.parent)):
            return rembg.new_session(model, model_path=str(file), **given)
    except Exception as error:  # ONNX Runtime's own errors have no common base
        raise ValueError(f"{file} is no ONNX file that can be read ({error}); copy or download it again") from error


def _providers(given: Sequence[str] | str) -> tuple[str, ...]:
    import onnxruntime

    there = onnxruntime.get_available_providers()
    if given == "auto":
        return tuple(name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in there)
    names = (given,) if isinstance(given, str) else tuple(given)
    for name in names:
        if name not in there:
            cure = "; CUDA comes with pip install 'masklam[rembg-gpu]'" if "CUDA" in name else ""
            raise ValueError(unknown_name("provider of ONNX Runtime", name, there) + cure)
    return names


def _stock_file(model: str) -> Path:
    """The file of a model of rembg's, where rembg looks for it; of several the first."""
    data = os.environ.get("XDG_DATA_HOME")
    home = os.environ.get("U2NET_HOME") or os.environ.get("REMBG_HOME") or (f"{data}/rembg" if data else "~/.rembg")
    old = os.environ.get("U2NET_HOME") or f"{data or '~'}/.u2net"
    files = SAM_FILES if model == SAM else (f"{model}.onnx",)
    folders = [(Path(home) / "models" / model).expanduser(), Path(old).expanduser()]
    for folder in folders:
        if all((folder / file).is_file() for file in files):
            return folder / files[0]
    missing = next(file for file in files if not (folders[0] / file).is_file())
    raise FileNotFoundError(
        f"the file {missing} of rembg's model {model!r} is not in {folders[0]}, and nothing is downloaded "
        f"behind your back: get it with `python -c \"import rembg; rembg.new_session('{model}')\"`, put it there, or "
        f"give a file of your own (model {CUSTOM[0]!r}, model_path=FILE)"
    )


def _custom_file(model: str, path: str | os.PathLike[str] | None) -> Path:
    if path is None:
        raise ValueError(f"model {model!r} needs model_path, the .onnx file of a segmentation network")
    file = Path(path).expanduser().absolute()
    if not file.is_file():
        raise FileNotFoundError(
            f"there is no model file {file.name} in {file.parent}; give the .onnx file of a segmentation network, or "
            f"train one: `masklam train-segmenter DATASET --rembg {file}`"
        )
    return file
