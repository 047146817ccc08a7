"""SAM 2 through a video and GroundingDINO: the whole road on tiny models with random weights."""

import json

import numpy as np
import pytest

from masklam_envs.masks import make_mask_source, segment
from masklam_envs.masks.prompts import PAPER_BOXES, check_prompt, paper_box
from masklam_envs.masks.sam import Sam

BOX = {"box": [4, 4, 28, 28]}


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Any connection fails."""
    import socket

    def refuse(*_):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (None, "a prompt is one of .*, got None"),
        ({**BOX, "text": "a robot."}, "a prompt is one of"),
        ({"box": [4, 4, 28]}, "four numbers"),
        ({"box": [28, 4, 4, 28]}, "x0 < x1"),
        ({"points": [4, 4]}, "points \\[\\[x, y\\], ...\\]"),
        ({"points": [[4, 4]], "labels": [0]}, "at least one"),
        ({"box": [4, 4, 40, 28]}, "outside the frames of 32 x 32"),
        ({"text": " "}, "must be words"),
        ({"text": "a robot.", "region": [9, 9, 3, 3]}, "a region is \\[x0, y0, x1, y1\\] with x0 < x1"),
        ({"text": "a robot.", "region": [9, 9, 40, 20]}, "outside the frames of 32 x 32"),
        ({"text": "a robot.", "max_area": 0}, "max_area must be a number of pixels above 0, got 0"),
        ({**BOX, "max_area": 9}, "unknown key of a prompt with 'box' 'max_area'"),
        ({"points": [[4, 4]], "lables": [1]}, "unknown key of a prompt with 'points' 'lables'. Did you mean 'labels'"),
        ({"paper": "pusch"}, "unknown task with a box of the paper's 'pusch'. Did you mean 'push'"),
    ],
)
def test_prompts_are_checked(prompt, message):
    with pytest.raises(ValueError, match=message):
        check_prompt(prompt, (32, 32))


def test_the_paper_s_boxes_scale_with_the_frames():
    assert len(PAPER_BOXES) == 7
    assert paper_box("handle-pull", (128, 128)) == [37, 3, 127, 127]
    assert paper_box("door-open", (64, 256)) == [60, 1.5, 254, 63.5]
    for task in PAPER_BOXES:
        check_prompt({"paper": task}, (32, 32))
        check_prompt({"box": paper_box(task, (32, 32))}, (32, 32))


def test_without_the_package_the_extra_is_named():
    try:
        import transformers  # noqa: F401
    except ImportError:
        with pytest.raises(ImportError, match=r"transformers is not installed: pip install 'masklam\[sam\]'"):
            Sam()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A SAM 2 of a few thousand weights, saved as a hub model is."""
    transformers = pytest.importorskip("transformers")
    import torch

    torch.manual_seed(0)
    size, wide = 64, 128
    backbone = {
        "hidden_size": 8,
        "num_attention_heads": 1,
        "image_size": [size, size],
        "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 1, 1, 1],
        "window_size_per_stage": [4, 4, 4, 2],
        "global_attention_blocks": [3],
        "window_positional_embedding_background_size": [4, 4],
    }
    vision = {
        "backbone_config": {"model_type": "sam2_hiera_det_model", **backbone},
        "backbone_channel_list": [64, 32, 16, 8],
        "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
        "fpn_hidden_size": wide,
    }
    heads = {"hidden_size": wide, "num_attention_heads": 2, "mlp_dim": 32, "iou_head_hidden_dim": wide}
    config = transformers.Sam2VideoConfig(
        vision_config={"model_type": "sam2_vision_model", **vision},
        prompt_encoder_config={"hidden_size": wide, "image_size": size, "patch_size": 16, "mask_input_channels": 4},
        mask_decoder_config=heads,
        image_size=size,
        memory_attention_hidden_size=wide,
        memory_attention_feed_forward_hidden_size=32,
        memory_attention_num_layers=1,
        memory_attention_rope_feat_sizes=[4, 4],
        memory_encoder_hidden_size=wide,
        memory_encoder_output_channels=64,
        mask_downsampler_embed_dim=wide,
        memory_fuser_embed_dim=wide,
        memory_fuser_intermediate_dim=32,
    )
    folder = tmp_path_factory.mktemp("sam")
    made = transformers.Sam2VideoModel(config)
    # Random weights may say that the object is not there; then every mask is empty.
    torch.nn.init.constant_(made.mask_decoder.pred_obj_score_head.proj_out.bias, 10.0)
    made.save_pretrained(folder)
    return str(folder)


def video(count=5):
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3)).astype(np.uint8)


@pytest.mark.parametrize("prompt", [BOX, {"points": [[16, 16], [2, 2]], "labels": [1, 0]}, {"paper": "push"}])
def test_a_video_is_tracked_from_a_prompt(model, prompt):
    masks = segment(Sam(model, drift=0), video(), prompt)
    assert masks.shape == (5, 32, 32) and masks.std() > 0
    configured = make_mask_source({"name": "sam", "model": model, "drift": 0, "prompt": prompt})
    assert np.array_equal(masks, segment(configured, video()))


def test_one_frame_and_any_shape_of_frames(model):
    assert segment(Sam(model), video(1), BOX).shape == (1, 32, 32)
    assert segment(Sam(model), video(3)[:, :29, :], BOX).shape == (3, 29, 32)


def test_a_task_of_the_paper_s_is_its_box(model):
    box = {"box": [13.75, 0.75, 31.75, 31.75]}
    assert np.array_equal(segment(Sam(model), video(), {"paper": "push"}), segment(Sam(model), video(), box))


def test_what_a_gpu_runs_in_bf16_is_nearly_the_same(model):
    """The paper's type of numbers, here on the CPU; also from the last mask of a piece."""
    torch = pytest.importorskip("torch")
    source = Sam(model, drift=0, piece=3)
    full = segment(source, video(), BOX)
    source._dtype = torch.bfloat16
    source._model.to(torch.bfloat16)
    half = segment(source, video(), BOX)
    assert not np.array_equal(full, half) and np.abs(full - half)[0].max() < 0.1


def test_frames_are_prepared_as_sam_was_trained(model):
    source = Sam(model)
    frames = np.broadcast_to(np.array([124, 116, 104], np.uint8), (2, 8, 12, 3))
    prepared = source._prepared(frames)
    assert tuple(prepared.shape) == (2, 3, 64, 64)
    assert float(prepared.abs().max()) < 0.01  # ImageNet's mean colour


def test_pieces_go_on_from_the_last_mask(model):
    source = Sam(model, piece=2, drift=0)
    shown = []
    tracked = source._tracked

    def noted(frames, given):
        shown.append((len(frames), given.mask is not None or given.box is not None))
        count = len(list(tracked(frames, given)))
        return (np.where(frame[..., 0] > 128, 0.9, 0.1).astype(np.float32) for frame in frames[:count])

    source._tracked = noted
    masks = source.segment(video(), BOX)
    assert shown == [(2, True)] * 4  # frames 0-1, 1-2, 2-3, 3-4
    assert np.array_equal(masks > 0.5, video()[..., 0] > 128)


def test_drift_prompts_again_with_the_box_of_the_last_mask(model):
    source, calls = Sam(model, drift=2.0), []

    def tracked(frames, given):
        calls.append((len(frames), given.box))
        for t in range(len(frames)):
            mask = np.zeros((32, 32), np.float32)
            side = 8 if t < 2 or len(frames) < 5 else 20  # the first track grows at its third frame
            mask[4 : 4 + side, 4 : 4 + side] = 1
            yield mask

    source._tracked = tracked
    masks = source.segment(video(), BOX)
    assert calls == [(5, [4.0, 4.0, 28.0, 28.0]), (3, [4.0, 4.0, 12.0, 12.0])]
    assert (masks.sum(axis=(1, 2)) == 64).all()


def growing(sides):
    """A track (frames, shown) -> masks: squares of these sides, the last one for ever."""
    left = list(sides)

    def tracked(frames, given):
        for _ in frames:
            mask = np.zeros((32, 32), np.float32)
            side = left.pop(0) if len(left) > 1 else left[0]
            mask[4 : 4 + side, 4 : 4 + side] = 1
            yield mask

    return tracked


def test_drift_looks_for_the_words_again_in_that_frame(model):
    source, looked = Sam(model, drift=2.0), []
    source._look_for = lambda frame, prompt: looked.append((int(frame[0, 0, 0]), prompt)) or [4.0, 4.0, 12.0, 12.0]
    source._tracked = growing([8, 8, 20, 8, 8, 8])
    frames = video(5)
    frames[:, 0, 0, 0] = np.arange(5)
    masks = source.segment(frames, {"text": "a robot."})
    assert looked == [(0, {"text": "a robot."}), (2, {"text": "a robot."})]
    assert (masks.sum(axis=(1, 2)) == 64).all()


def test_drift_goes_on_where_the_words_are_not_found_again(model):
    source = Sam(model, drift=2.0)
    boxes = [[4.0, 4.0, 12.0, 12.0]]

    def look_for(frame, prompt):
        if not boxes:
            raise LookupError
        return boxes.pop()

    source._look_for, source._tracked = look_for, growing([8, 8, 20, 20, 20])
    assert source.segment(video(5), {"text": "a robot."}).sum(axis=(1, 2)).tolist() == [64, 64, 400, 400, 400]


def test_drift_prompts_the_real_model_again(model):
    """Areas are never quite equal, so at a drift of 1.0001 nearly every frame is prompted anew."""
    source, shown = Sam(model, drift=1.0001), []
    tracked = source._tracked
    source._tracked = lambda frames, given: shown.append(given) or tracked(frames, given)
    masks = segment(source, video(), BOX)
    assert len(shown) > 1 and all(given.box is not None for given in shown)
    assert np.array_equal(masks[0], segment(Sam(model, drift=0), video(), BOX)[0])
    rows, columns = np.nonzero(masks[0] >= 0.5)
    assert shown[1].box == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


@pytest.mark.parametrize("gpu", [True, False])
def test_a_piece_that_does_not_fit_is_told_with_the_cure(model, gpu):
    torch, source = pytest.importorskip("torch"), Sam(model)

    def prepared(frames):
        if gpu:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return torch.empty(2**50)  # an exabyte: refused at once

    source._prepared = prepared
    message = r"5 frames of 32x32 do not fit in memory; pieces of 200 frames .* give a smaller one \(piece=100\)"
    with pytest.raises(MemoryError, match=message):
        segment(source, video(), BOX)


def test_words_are_looked_for_and_the_second_try_is_lower(model):
    torch = pytest.importorskip("torch")
    source, asked = Sam(model, drift=0), []

    class Inputs(dict):
        def to(self, device):
            return self

    class Processor:
        def __call__(self, **given):
            return Inputs(input_ids=torch.zeros(1))

        def post_process_grounded_object_detection(self, outputs, ids, threshold, text_threshold, target_sizes):
            asked.append((threshold, text_threshold))
            found = torch.tensor([0.2, 0.25]) if threshold < 0.2 else torch.zeros(0)
            return [{"scores": found, "boxes": torch.tensor([[0.0, 0, 9, 9], [4, 4, 20, 20]])[: len(found)]}]

    source._found = Processor(), lambda **given: None
    assert source._given(video()[0], {"text": "a robot."}).box == [4.0, 4.0, 20.0, 20.0]
    assert asked == [(0.3, 0.25), (0.15, 0.15)]
    # The better one has its centre elsewhere, or is too large.
    for key, value in (("region", [0, 0, 10, 10]), ("max_area", 100)):
        assert source._given(video()[0], {"text": "a robot.", key: value}).box == [0.0, 0.0, 9.0, 9.0]
    with pytest.raises(LookupError, match="finds no 'a robot.' in the frame; .* another region or max_area"):
        source._given(video()[0], {"text": "a robot.", "max_area": 10})


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    """A GroundingDINO of some thousand weights with its processor, saved as a hub model is."""
    transformers = pytest.importorskip("transformers")
    import torch

    torch.manual_seed(0)
    words = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 1012: ".", 1029: "?", 1030: "a", 1031: "robot"}
    folder = tmp_path_factory.mktemp("dino")
    (folder / "vocab.txt").write_text("".join(words.get(i, f"[unused{i}]") + "\n" for i in range(1032)))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer", "model_max_length": 64}')
    prepares = {"size": {"shortest_edge": 128, "longest_edge": 192}, "do_pad": True}
    about = {"image_processor_type": "GroundingDinoImageProcessor", "processor_class": "GroundingDinoProcessor"}
    (folder / "preprocessor_config.json").write_text(json.dumps(about | prepares))
    swin = {
        "model_type": "swin",
        "image_size": 64,
        "embed_dim": 8,
        "depths": [1, 1, 1, 1],
        "num_heads": [1, 1, 1, 1],
        "window_size": 4,
        "out_features": ["stage2", "stage3", "stage4"],
    }
    bert = {"model_type": "bert", "vocab_size": 1032, "hidden_size": 16, "num_hidden_layers": 1}
    bert |= {"num_attention_heads": 1, "intermediate_size": 16, "max_position_embeddings": 64}
    layers = {"encoder_layers": 1, "decoder_layers": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "d_model": 32, "num_queries": 8}
    config = transformers.GroundingDinoConfig(
        backbone_config=swin, text_config=bert, max_text_len=32, disable_custom_kernels=True, **layers, **heads
    )
    transformers.GroundingDinoForObjectDetection(config).save_pretrained(folder)
    return str(folder)


def test_words_prompt_through_the_real_detector(model, detector, monkeypatch):
    """Its best box, in pixels of the frame, is what SAM 2 is shown."""
    from masklam_envs.masks import sam

    source = Sam(model, detector=detector, drift=0)
    monkeypatch.setattr(sam, "THRESHOLDS", ((0.0, 0.0),))  # its weights are random
    frames = np.random.default_rng(1).integers(0, 256, (3, 32, 48, 3)).astype(np.uint8)
    masks = segment(source, frames, {"text": " A robot"})
    processor, network = source._found
    with source._torch.inference_mode():
        found = network(**processor(images=frames[0], text="a robot.", return_tensors="pt"))
    scores, boxes = found.logits.sigmoid().amax(-1)[0], found.pred_boxes[0]
    x, y, width, height = (boxes[int(scores.argmax())] * boxes.new_tensor([48, 32, 48, 32])).tolist()
    want = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    assert source._look_for(frames[0], {"text": "a robot."}) == pytest.approx(want, abs=1e-3)
    assert np.allclose(masks, segment(Sam(model, drift=0), frames, {"box": want}), atol=1e-3)


def test_missing_weights_are_named_with_folder_and_command(model, monkeypatch, tmp_path):
    pytest.importorskip("transformers")
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    folder = tmp_path / "models--facebook--sam2.1-hiera-tiny"
    with pytest.raises(FileNotFoundError, match=rf"is not in {folder}, .*get it with `hf download facebook/sam2.1"):
        Sam()
    with pytest.raises(ValueError, match="holds no Sam2VideoModel"):
        Sam(str(tmp_path))
    message = r"of IDEA-Research/grounding-dino-base is not in .*get it with `hf download IDEA.* \(detector=FOLDER\)"
    with pytest.raises(FileNotFoundError, match=message):
        segment(Sam(model), video(), {"text": "a robot."})


def test_a_transformers_that_cannot_be_imported_is_named(monkeypatch):
    """It imports itself piece by piece: what one of them lacks is found late."""
    from masklam_envs.masks import sam

    class Transformers:
        __version__ = "5.99"

        def __getattr__(self, name):
            raise ModuleNotFoundError("No module named 'httpx2'")

    real = sam.require
    monkeypatch.setattr(sam, "require", lambda m, *_: Transformers() if m == "transformers" else real(m, *_))
    with pytest.raises(ImportError, match=r"transformers 5.99 has no Sam2VideoModel .*\(No module named 'httpx2'\)"):
        Sam()
