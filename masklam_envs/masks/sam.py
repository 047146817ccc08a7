"""SAM 2 through a video, by the ``transformers`` package: the masks of the MaskLAM paper.

A prompt on the first frame (a box, points, or words that GroundingDINO finds) says what the agent is; SAM 2 carries its
mask through the video (Ravi et al., 2024).

* :class:`Sam` - the mask source ``"sam"``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklam_envs.errors import unknown_name
from masklam_envs.optional import require

PROMPTS = ("box", "points", "text")
# Box and text threshold of GroundingDINO, and those of a second try (the authors' code for Meta-World).
THRESHOLDS = ((0.3, 0.25), (0.15, 0.15))
# Of ImageNet's colours, as SAM 2 was trained.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Sam:
    """SAM 2 tracks what a prompt shows on the first frame; it needs the whole video.

    The prompt is one of, in pixels of the frames: ``{"box": [x0, y0, x1, y1]}``, the paper's own way;
    ``{"points": [[x, y], ...], "labels": [1, 0, ...]}`` (1 agent, 0 not; without labels all are agent);
    ``{"text": "a robot arm."}``, short noun phrases with full stops, found by GroundingDINO with box threshold 0.3 and
    text threshold 0.25, and 0.15 for both on a second try.

    A track drifts when its area leaves [1 / ``drift``, ``drift``] times that of the prompted frame.  Then words are
    looked for again in that frame; another prompt gives way to the box of the last mask that was no drift.

    Long videos go in pieces of ``piece`` frames, the first frame of each prompted by the last mask before it.

    :param model: folder of a SAM 2 video model, or its name on the Hugging Face hub, whose files must be in the local
        cache: nothing is downloaded
    :param detector: likewise of GroundingDINO, for words
    :param prompt: used where none is given, so that a configuration can have it
    :param drift: above 1; 0: never prompt again
    :param piece: frames of a piece, at least 2: so many are in memory, 12 MB each as SAM 2 sees them (1024 x 1024)
    :param device: torch's, ``"auto"``: CUDA where there is one
    :raises ImportError: naming the extra when ``transformers`` or torch is missing
    :raises FileNotFoundError: naming the model, the folder and the command when its files are not there
    """

    memory = None
    working_size = 256

    def __init__(
        self,
        model: str = "facebook/sam2.1-hiera-tiny",
        detector: str = "IDEA-Research/grounding-dino-base",
        prompt: dict[str, Any] | None = None,
        drift: float = 4.0,
        piece: int = 200,
        device: str = "auto",
    ) -> None:
        if not (drift > 1 or drift == 0) or piece < 2:
            raise ValueError(f"drift must be above 1 or 0, and piece at least 2, got {drift} and {piece}")
        if prompt is not None:
            _check_prompt(prompt)
        self.detector, self.prompt, self.drift, self.piece = detector, prompt, drift, piece
        self._torch = require("torch", "torch", "sam")
        package = require("transformers", "transformers", "sam")
        cuda = device == "auto" and self._torch.cuda.is_available()
        self.device = "cuda" if cuda else "cpu" if device == "auto" else device
        # The paper's bf16 on a GPU; on a CPU it is slower than float32 more often than not.
        self._dtype = self._torch.bfloat16 if self.device.startswith("cuda") else self._torch.float32
        self._model = _loaded(package.Sam2VideoModel, model).to(self.device, self._dtype).eval()
        self._session = package.Sam2VideoInferenceSession
        side = self._model.config.image_size
        self._side = int(side if isinstance(side, int) else side[0])
        self._found: tuple[Any, Any] | None = None

    def segment(self, frames: NDArray[np.uint8], prompt: Any = None) -> NDArray[np.float32]:
        """See :class:`~masklam_envs.masks.sources.MaskSource`.

        :raises ValueError: without a prompt, or for one of another form or outside the frame
        :raises LookupError: when the words are not found in the first frame
        :raises MemoryError: when a piece does not fit, on the GPU or here
        """
        prompt = prompt if prompt is not None else self.prompt
        _check_prompt(prompt, frames.shape[1:3])
        out = np.zeros(frames.shape[:3], np.float32)
        start, area = 0, 0.0
        shown: _Shown | None = self._given(frames[0], prompt)
        while shown is not None:
            with _shortage_told(self._torch, self.piece):
                start, shown, area = self._piece(frames, out, start, shown, prompt, area)
        return out

    def _piece(
        self,
        frames: NDArray[np.uint8],
        out: NDArray[np.float32],
        start: int,
        shown: _Shown,
        prompt: dict[str, Any],
        area: float,
    ) -> tuple[int, _Shown | None, float]:
        """Write a piece's masks into ``out``: where the next one starts and with what, None at the end."""
        end = min(start + self.piece, len(frames))
        for t, mask in enumerate(self._tracked(frames[start:end], shown), start):
            size = float((mask >= 0.5).sum())
            area = area or size
            # The prompted frame itself is what others are compared with.
            again = self._again(frames[t], prompt, out[t - 1]) if t > start and self._drifted(size, area) else None
            if again is not None:
                return t, again, area
            out[t] = mask
        if end == len(frames):
            return end, None, area
        # The last frame is seen again, now as the one that is known.
        last = out[end - 1] >= 0.5
        return end - 1, _Shown(mask=last) if last.any() else self._again(frames[end - 1], prompt, out[end - 1]), area

    def _drifted(self, size: float, area: float) -> bool:
        return bool(self.drift) and area > 0 and not area / self.drift <= size <= area * self.drift

    def _again(self, frame: NDArray[np.uint8], prompt: dict[str, Any], last: NDArray[np.float32]) -> _Shown | None:
        """What to prompt with after a drift, None when nothing is known."""
        if "text" in prompt:
            with contextlib.suppress(LookupError):
                return self._given(frame, prompt)
            return None
        rows, columns = np.nonzero(last >= 0.5)
        if not len(rows):
            return None
        return _Shown(box=[float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1)])

    def _given(self, frame: NDArray[np.uint8], prompt: dict[str, Any]) -> _Shown:
        """A prompt as SAM 2 takes it."""
        if "text" in prompt:
            return _Shown(box=self._look_for(frame, prompt["text"]))
        if "box" in prompt:
            return _Shown(box=[float(x) for x in prompt["box"]])
        points = [[float(x) for x in point] for point in prompt["points"]]
        return _Shown(points=points, labels=[int(each) for each in prompt.get("labels", [1] * len(points))])

    def _tracked(self, frames: NDArray[np.uint8], shown: _Shown) -> Iterator[NDArray[np.float32]]:
        """Masks (H, W) in [0, 1] of frames one after the other, the first of which is prompted."""
        torch, size = self._torch, frames.shape[1:3]
        session = self._session(
            video=self._prepared(frames),
            video_height=size[0],
            video_width=size[1],
            inference_device=self.device,
            inference_state_device=self.device,
            video_storage_device=self.device,
            dtype=self._dtype,
        )
        self._show(session, shown, size)
        with torch.inference_mode():
            for found in self._model.propagate_in_video_iterator(session, start_frame_idx=0):
                logits = found.pred_masks.float()
                large = torch.nn.functional.interpolate(logits, size, mode="bilinear", align_corners=False)
                yield large[0, 0].sigmoid().cpu().numpy()

    def _prepared(self, frames: NDArray[np.uint8]) -> Any:
        """Frames (T, 3, S, S) as the model wants them: what its processor does, without its need of torchvision."""
        torch = self._torch
        x = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
        x = torch.nn.functional.interpolate(x, (self._side,) * 2, mode="bilinear", align_corners=False, antialias=True)
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
        return (x - mean) / std

    def _show(self, session: Any, shown: _Shown, size: tuple[int, ...]) -> None:
        """Tell a session what the object is, on its first frame."""
        torch, index = self._torch, session.obj_id_to_idx(1)
        if shown.mask is not None:
            mask = torch.from_numpy(shown.mask)[None, None].float().to(self.device)
            side = (self._side,) * 2
            large = torch.nn.functional.interpolate(mask, side, mode="bilinear", align_corners=False, antialias=True)
            session.add_mask_inputs(index, 0, (large >= 0.5).float())
        else:
            # A box is its two corners, by labels of their own.
            points = np.reshape(shown.box, (2, 2)) if shown.box is not None else np.asarray(shown.points)
            labels = [2, 3] if shown.box is not None else shown.labels
            scaled = torch.tensor(points * self._side / np.array(size[::-1]), dtype=torch.float32)[None, None]
            given = {"point_coords": scaled, "point_labels": torch.tensor(labels, dtype=torch.int32)[None, None]}
            session.add_point_inputs(index, 0, given)
        session.obj_with_new_inputs = [1]

    def _look_for(self, frame: NDArray[np.uint8], text: str) -> list[float]:
        """The box of the best match of some words in a frame."""
        torch = self._torch
        if self._found is None:
            package = require("transformers", "transformers", "sam")
            model = _loaded(package.AutoModelForZeroShotObjectDetection, self.detector).to(self.device).eval()
            self._found = _loaded(package.AutoProcessor, self.detector), model
        processor, model = self._found
        inputs = processor(images=frame, text=text, return_tensors="pt").to(self.device)
        with torch.inference_mode():
            outputs = model(**inputs)
        for box_threshold, text_threshold in THRESHOLDS:
            [found] = processor.post_process_grounded_object_detection(
                outputs,
                inputs["input_ids"],
                threshold=box_threshold,
                text_threshold=text_threshold,
                target_sizes=[frame.shape[:2]],
            )
            if len(found["scores"]):
                return [float(x) for x in found["boxes"][int(found["scores"].argmax())]]
        raise LookupError(
            f"GroundingDINO finds no {text!r} in the frame; use other words (short noun phrases with full stops), "
            'larger frames, or a box: {"box": [x0, y0, x1, y1]}'
        )


class _Shown(NamedTuple):
    """What SAM 2 is shown on the first frame of a piece: one of a box, points, or a mask (H, W) bool."""

    box: list[float] | None = None
    points: list[list[float]] | None = None
    labels: list[int] | None = None
    mask: NDArray[np.bool_] | None = None


@contextlib.contextmanager
def _shortage_told(torch: Any, piece: int) -> Iterator[None]:
    """Torch's errors of missing memory as Python's, with the cure."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        raise MemoryError(f"pieces of {piece} frames are too long, give a smaller one (piece={piece // 2})") from error


def _check_prompt(prompt: Any, size: tuple[int, ...] | None = None) -> None:
    """Complain about a prompt of another form, or one that lies outside frames of a size (H, W)."""
    if not isinstance(prompt, dict) or sum(key in prompt for key in PROMPTS) != 1:
        raise ValueError(
            'mask source \'sam\' needs one prompt: {"box": [x0, y0, x1, y1]}, {"points": [[x, y], ...], "labels": [1, '
            f'...]}} or {{"text": "a robot."}}, got {prompt!r}'
        )
    for key in prompt:
        if key not in (*PROMPTS, "labels"):
            raise ValueError(unknown_name("key of a prompt", key, (*PROMPTS, "labels")))
    if "text" in prompt:
        if not isinstance(prompt["text"], str) or not prompt["text"].strip():
            raise ValueError(f"the text of a prompt must be words, got {prompt['text']!r}")
        return
    points = _numbers(prompt["box"], (4,)).reshape(2, 2) if "box" in prompt else _numbers(prompt["points"], (None, 2))
    if "box" in prompt and not (points[1] > points[0]).all():
        raise ValueError(f"a box is [x0, y0, x1, y1] with x0 < x1 and y0 < y1, got {prompt['box']}")
    labels = prompt.get("labels", [1] * len(points))
    if "points" in prompt and (len(labels) != len(points) or not set(labels) <= {0, 1} or 1 not in labels):
        raise ValueError(f"points need a label each, 1 (agent, at least one) or 0, got {labels}")
    if size is not None and not ((points >= 0) & (points <= np.array(size[::-1]))).all():
        raise ValueError(f"the prompt {prompt} lies outside the frames of {size[1]} x {size[0]} pixels")


def _numbers(given: Any, shape: tuple[int | None, ...]) -> NDArray[np.float64]:
    try:
        array = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        array = np.zeros(0)
    fits = array.ndim == len(shape) and all(n in (None, side) for n, side in zip(shape, array.shape, strict=True))
    if not fits or not array.size or not np.isfinite(array).all():
        what = "four numbers [x0, y0, x1, y1]" if shape == (4,) else "points [[x, y], ...]"
        raise ValueError(f"a prompt needs {what}, got {given!r}")
    return array


def _loaded(kind: Any, name: str) -> Any:
    """A model or processor from the local disk."""
    try:
        return kind.from_pretrained(name, local_files_only=True)
    except (OSError, ValueError) as error:
        if Path(name).is_dir():
            raise ValueError(
                f"the folder {name} holds no {kind.__name__} ({error}); copy the model's files again"
            ) from error
        hub = os.environ.get("HF_HUB_CACHE") or Path(os.environ.get("HF_HOME", "~/.cache/huggingface")) / "hub"
        folder = Path(hub).expanduser() / f"models--{name.replace('/', '--')}"
        raise FileNotFoundError(
            f"the file model.safetensors of {name} is not in {folder}, and nothing is downloaded behind your back: get "
            f"it with `hf download {name}`, or give a folder that has the model (model=FOLDER)"
        ) from error
