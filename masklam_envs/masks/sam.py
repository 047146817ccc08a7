"""SAM 2 through a video, by the ``transformers`` package: the masks of the MaskLAM paper.

A prompt on the first frame (a box, points, or words that GroundingDINO finds) says what the agent is; SAM 2 carries its
mask through the video (Ravi et al., 2024).

* :class:`Sam` - the mask source ``"sam"``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklam_envs.masks.prompts import check_prompt, paper_box
from masklam_envs.masks.threshold import is_agent
from masklam_envs.optional import require

# Box and text threshold of GroundingDINO, and those of a second try (the authors' code for Meta-World).
THRESHOLDS = ((0.3, 0.25), (0.15, 0.15))
# Of ImageNet's colours, as SAM 2 was trained.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Sam:
    """SAM 2 tracks what a prompt shows on the first frame; it needs the whole video.

    Prompts are those of :mod:`~masklam_envs.masks.prompts`; a box is the paper's own way.  Words are found by
    GroundingDINO with box threshold 0.3 and text threshold 0.25, and 0.15 for both on a second try.

    A track drifts when its area leaves [1 / ``drift``, ``drift``] times that of the prompted frame.  Then words are
    looked for again in that frame; another prompt gives way to the box of the last mask that was no drift.

    Long videos go in pieces of ``piece`` frames, the first frame of each prompted by the last mask before it.

    :param model: folder of a SAM 2 video model, or its name on the Hugging Face hub, whose files must be in the local
        cache: nothing is downloaded
    :param detector: likewise of GroundingDINO, for words; it is loaded when there are any
    :param prompt: used where none is given, so that a configuration can have it
    :param drift: above 1; 0: never prompt again
    :param piece: frames of a piece, at least 2: so many are in memory, as SAM 2 sees them (1024 x 1024): 12 MB
        each, and 6 on a GPU
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
            check_prompt(prompt)
        self.detector, self.prompt, self.drift, self.piece = detector, prompt, drift, piece
        self._torch = require("torch", "torch", "sam")
        cuda = device == "auto" and self._torch.cuda.is_available()
        self.device = "cuda" if cuda else "cpu" if device == "auto" else device
        # The paper's bf16 on a GPU; on a CPU it is slower than float32 more often than not.
        self._dtype = self._torch.bfloat16 if self.device.startswith("cuda") else self._torch.float32
        self._model = _loaded(_class("Sam2VideoModel"), model, "model").to(self.device, self._dtype).eval()
        self._session = _class("Sam2VideoInferenceSession")
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
        check_prompt(prompt, frames.shape[1:3])
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
            size = float(is_agent(mask).sum())
            area = area or size
            # The prompted frame itself is what others are compared with.
            again = self._again(frames[t], prompt, out[t - 1]) if t > start and self._drifted(size, area) else None
            if again is not None:
                return t, again, area
            out[t] = mask
        if end == len(frames):
            return end, None, area
        # The last frame is seen again, now as the one that is known.
        last = is_agent(out[end - 1])
        return end - 1, _Shown(mask=last) if last.any() else self._again(frames[end - 1], prompt, out[end - 1]), area

    def _drifted(self, size: float, area: float) -> bool:
        return bool(self.drift) and area > 0 and not area / self.drift <= size <= area * self.drift

    def _again(self, frame: NDArray[np.uint8], prompt: dict[str, Any], last: NDArray[np.float32]) -> _Shown | None:
        """What to prompt with after a drift, None when nothing is known."""
        if "text" in prompt:
            with contextlib.suppress(LookupError):
                return self._given(frame, prompt)
            return None
        rows, columns = np.nonzero(is_agent(last))
        if not len(rows):
            return None
        return _Shown(box=[float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1)])

    def _given(self, frame: NDArray[np.uint8], prompt: dict[str, Any]) -> _Shown:
        """A prompt as SAM 2 takes it."""
        if "text" in prompt:
            return _Shown(box=self._look_for(frame, prompt))
        if "paper" in prompt:
            return _Shown(box=paper_box(prompt["paper"], frame.shape[:2]))
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
        torch, side = self._torch, (self._side,) * 2
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
        out = torch.empty((len(frames), 3, *side), dtype=self._dtype)
        # One after the other: of all of them together there would be four copies.
        for seen, frame in zip(out, frames, strict=True):
            x = torch.from_numpy(frame.copy()).permute(2, 0, 1)[None].float() / 255
            x = torch.nn.functional.interpolate(x, side, mode="bilinear", align_corners=False, antialias=True)[0]
            seen.copy_((x - mean) / std)
        return out

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

    def _look_for(self, frame: NDArray[np.uint8], prompt: dict[str, Any]) -> list[float]:
        """The box of the best match of some words in a frame."""
        torch = self._torch
        if self._found is None:
            model = _loaded(_class("AutoModelForZeroShotObjectDetection"), self.detector, "detector")
            self._found = _loaded(_class("AutoProcessor"), self.detector, "detector"), model.to(self.device).eval()
        processor, model = self._found
        # What GroundingDINO was trained on: small letters, and a full stop after each phrase.
        text = prompt["text"].strip().lower().rstrip(".") + "."
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
            boxes, scores = found["boxes"].float().cpu().numpy(), found["scores"].float().cpu().numpy()
            allowed = _allowed(boxes, prompt)
            if allowed.any():
                return [float(x) for x in boxes[int(np.where(allowed, scores, -1).argmax())]]
        raise LookupError(
            f"GroundingDINO finds no {text!r} in the frame; use other words (short noun phrases with full stops), "
            'larger frames, another region or max_area, or a box: {"box": [x0, y0, x1, y1]}'
        )


def _allowed(boxes: NDArray[np.float32], prompt: dict[str, Any]) -> NDArray[np.bool_]:
    """Which boxes (N, 4) lie where a prompt's words are looked for, and are not too large."""
    centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    low, high = np.reshape(prompt.get("region", [-np.inf, -np.inf, np.inf, np.inf]), (2, 2))
    inside = ((centres >= low) & (centres <= high)).all(axis=1)
    return np.asarray(inside & (sides.prod(axis=1) <= prompt.get("max_area", np.inf)))


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


def _class(name: str) -> Any:
    """A class of the package ``transformers``, which imports it only when it is asked for."""
    package = require("transformers", "transformers", "sam")
    try:
        return getattr(package, name)
    except (AttributeError, ImportError, RuntimeError) as error:
        raise ImportError(
            f"transformers {package.__version__} has no {name} that can be imported ({error}); install a version that "
            "works and what it needs: pip install -U 'masklam[sam]'"
        ) from error


def _loaded(kind: Any, name: str, option: str) -> Any:
    """A model or processor from the local disk.

    :param option: of the source, that named it
    """
    try:
        return kind.from_pretrained(name, local_files_only=True)
    except (OSError, ValueError) as error:
        if Path(name).is_dir():
            raise ValueError(
                f"the folder {name} holds no {kind.__name__} ({error}); copy the model's files again"
            ) from error
        hub = require("huggingface_hub.constants", "huggingface_hub", "sam").HF_HUB_CACHE
        folder = Path(hub) / f"models--{name.replace('/', '--')}"
        raise FileNotFoundError(
            f"the file model.safetensors of {name} is not in {folder}, and nothing is downloaded behind your back: get "
            f"it with `hf download {name}`, or give a folder that has the model ({option}=FOLDER)"
        ) from error
