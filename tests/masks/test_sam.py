"""SAM 2 through a video: the whole road on a tiny model with random weights."""

import numpy as np
import pytest

from masklam_envs.masks import make_mask_source, segment
from masklam_envs.masks.sam import Sam, _check_prompt

BOX = {"box": [4, 4, 28, 28]}


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (None, "needs one prompt"),
        ({**BOX, "text": "a robot."}, "needs one prompt"),
        ({"box": [4, 4, 28]}, "four numbers"),
        ({"box": [28, 4, 4, 28]}, "x0 < x1"),
        ({"points": [4, 4]}, "points \\[\\[x, y\\], ...\\]"),
        ({"points": [[4, 4]], "labels": [0]}, "at least one"),
        ({"box": [4, 4, 40, 28]}, "outside the frames of 32 x 32"),
        ({"text": " "}, "must be words"),
        ({**BOX, "lables": [1]}, "unknown key of a prompt 'lables'. Did you mean 'labels'"),
    ],
)
def test_prompts_are_checked(prompt, message):
    with pytest.raises(ValueError, match=message):
        _check_prompt(prompt, (32, 32))


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


@pytest.mark.parametrize("prompt", [BOX, {"points": [[16, 16], [2, 2]], "labels": [1, 0]}])
def test_a_video_is_tracked_from_a_prompt(model, prompt):
    masks = segment(Sam(model, drift=0), video(), prompt)
    assert masks.shape == (5, 32, 32) and masks.std() > 0
    configured = make_mask_source({"name": "sam", "model": model, "drift": 0, "prompt": prompt})
    assert np.array_equal(masks, segment(configured, video()))


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
    source._look_for = lambda frame, text: looked.append((int(frame[0, 0, 0]), text)) or [4.0, 4.0, 12.0, 12.0]
    source._tracked = growing([8, 8, 20, 8, 8, 8])
    frames = video(5)
    frames[:, 0, 0, 0] = np.arange(5)
    masks = source.segment(frames, {"text": "a robot."})
    assert looked == [(0, "a robot."), (2, "a robot.")]
    assert (masks.sum(axis=(1, 2)) == 64).all()


def test_drift_goes_on_where_the_words_are_not_found_again(model):
    source = Sam(model, drift=2.0)
    boxes = [[4.0, 4.0, 12.0, 12.0]]

    def look_for(frame, text):
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
            return [{"scores": found, "boxes": torch.tensor([[0.0, 0, 9, 9], [4, 4, 20, 20]])}]

    source._found = Processor(), lambda **given: None
    assert source._given(video()[0], {"text": "a robot."}).box == [4.0, 4.0, 20.0, 20.0]
    assert asked == [(0.3, 0.25), (0.15, 0.15)]


def test_missing_weights_are_named_with_folder_and_command(monkeypatch, tmp_path):
    pytest.importorskip("transformers")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    folder = tmp_path / "models--facebook--sam2.1-hiera-tiny"
    with pytest.raises(FileNotFoundError, match=rf"is not in {folder}, .*get it with `hf download facebook/sam2.1"):
        Sam()
    with pytest.raises(ValueError, match="holds no Sam2VideoModel"):
        Sam(str(tmp_path))
