"""rembg's models: real sessions on small model files, and never a download."""

import numpy as np
import pytest

from masklam_agents.segmenter.onnx_file import FLOAT, Graph
from masklam_envs import Frames
from masklam_envs.masks import make_mask_source, segment
from masklam_envs.masks.rembg import CUSTOM, Rembg, rembg_models
from masklam_envs.masks.threshold import hard
from tests.helpers import write_clip
from tests.test_cli import masklam

pytest.importorskip("onnxruntime")
pytest.importorskip("rembg")


def model_file(path, *, batch=1, sigmoid=True, channels=1, output=None):
    """An ONNX file that finds bright pixels: the mean over channels, then a sigmoid."""
    graph = Graph()
    x = graph.node("ReduceMean", "x", axes=[1], keepdims=1)
    if sigmoid:
        x = graph.node("Sigmoid", x)
    if channels > 1:
        x = graph.node("Concat", *[x] * channels, axis=1)
    if output is not None:
        x = graph.node("Reshape", x, graph.weight(np.array(output, np.int64)))
    graph.node("Identity", x, output="y")
    shape = output or (batch, channels, 320, 320)
    path.write_bytes(graph.file({"x": (FLOAT, (batch, 3, 320, 320))}, {"y": (FLOAT, shape)}, {}))
    return path


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    """Any connection fails, and no model lies in the home folder."""
    import socket

    def refuse(*_):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("REMBG_HOME", "U2NET_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)


def squares():
    frames = np.zeros((3, 64, 64, 3), np.uint8)
    frames[:2, 16:48, 16:48] = 255
    return frames


def test_a_model_file_finds_what_it_was_made_for(tmp_path):
    source = Rembg("u2net_custom", model_file(tmp_path / "bright.onnx"))
    mask = segment(source, squares())
    assert mask[0, 20:44, 20:44].min() > 0.9 and mask[0, :10].max() < 0.15
    assert source.providers == ("CPUExecutionProvider",)


def test_an_empty_frame_stays_empty_where_rembg_makes_noise(tmp_path):
    """The same pixel has the same number whatever else is in the frame."""
    from PIL import Image

    frames = squares()
    frames[2, 30, 30] = 9
    source = Rembg("u2net_custom", model_file(tmp_path / "bright.onnx"), low=0.2)
    mask = segment(source, frames)
    stretched = np.asarray(source._session.predict(Image.fromarray(frames[0]))[0])
    assert stretched.max() == 255 and stretched.min() == 0
    # rembg prepares every frame by its own brightest pixel, so a dim speck is bright to the network; nothing else is.
    assert mask[2][np.abs(np.indices((64, 64)) - 30).max(axis=0) > 3].max() < 0.15
    assert np.array_equal(mask[0], mask[1])


def test_several_frames_at_a_time_make_the_same_masks(tmp_path):
    one = Rembg("u2net_custom", model_file(tmp_path / "one.onnx"), batch=2)
    many = Rembg("u2net_custom", model_file(tmp_path / "many.onnx", batch="n"), batch=2)
    assert not one._batches and many._batches
    assert np.allclose(one.segment(squares()), many.segment(squares()), atol=1e-6)


def test_a_session_is_made_once(tmp_path):
    file = model_file(tmp_path / "bright.onnx")
    assert Rembg("u2net_custom", file)._session is Rembg("u2net_custom", file, low=0.1)._session


def test_logits_are_told_and_taken(tmp_path):
    file = model_file(tmp_path / "logits.onnx", sigmoid=False)
    with pytest.raises(ValueError, match="logits. Then use activation='sigmoid'"):
        Rembg("u2net_custom", file)
    shares = model_file(tmp_path / "bright.onnx")
    assert np.allclose(
        Rembg("u2net_custom", file, activation="sigmoid").segment(squares()),
        Rembg("u2net_custom", shares).segment(squares()),
        atol=1e-5,
    )


def test_small_frames_are_enlarged_first(tmp_path):
    file = model_file(tmp_path / "bright.onnx")
    plain, large = (Rembg("u2net_custom", file, upscale=size).segment(squares()) for size in (0, 160))
    assert plain.shape == large.shape == (3, 64, 64)
    assert 0 < np.abs(plain - large).max() < 0.5


def test_every_session_of_rembg_has_its_name_or_its_reason():
    from rembg.sessions import sessions

    names = rembg_models()
    assert {"u2net", "u2netp", "isnet-general-use", "birefnet-general", "silueta", "u2net_custom", "sam"} <= set(names)
    elsewhere = set(sessions) - set(names)
    assert elsewhere == {"atlascloud", "withoutbg"}
    for name in elsewhere:
        with pytest.raises(ValueError, match=f"rembg's '{name}' sends every frame to a server that bills you"):
            Rembg(name)
    with pytest.raises(ValueError, match="unknown rembg model 'u2nte'. Did you mean 'u2net'"):
        Rembg("u2nte")


@pytest.mark.parametrize("model", ["u2net", "birefnet-general", "bria-rmbg", "sam"])
def test_a_model_that_is_not_there_is_named_and_not_downloaded(model, tmp_path):
    folder = tmp_path / ".rembg" / "models" / model
    file = "sam_vit_b_01ec64.encoder.onnx" if model == "sam" else f"{model}.onnx"
    with pytest.raises(FileNotFoundError, match=rf"file {file} .* is not in {folder}, .*get it with `python -c"):
        make_mask_source("rembg", model=model)


def stock_folder(tmp_path, name):
    folder = tmp_path / ".rembg" / "models" / name
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("name", [name for name in rembg_models() if name not in (*CUSTOM, "sam")])
def test_every_stock_model_in_its_folder_is_used(name, tmp_path):
    """Stand-ins for the files that rembg would download; each session prepares frames in its own way."""
    graph = Graph()
    x = graph.node("ReduceMean", "x", axes=[1], keepdims=1)
    if name == "u2net_cloth_seg":  # classes, the background first
        x = graph.node("Concat", graph.node("Neg", x), x, axis=1)
    elif not name.startswith("birefnet"):  # whose logits the session makes shares
        x = graph.node("Sigmoid", x)
    graph.node("Identity", x, output="y")
    shape = ("n", 3, "h", "w")
    data = graph.file({"x": (FLOAT, shape)}, {"y": (FLOAT, ("n", "c", "h", "w"))}, {})
    (stock_folder(tmp_path, name) / f"{name}.onnx").write_bytes(data)
    source = Rembg(name)
    mask = segment(source, squares()[:2])
    assert mask[0, 32, 32] > mask[0, 2, 2] + 0.15
    assert source.providers == ("CPUExecutionProvider",)


def segment_anything(folder):
    """Stand-ins for its two networks: a pixel is agent where it is bright and not left of the first point."""
    encoder = Graph()
    encoder.node("Transpose", "x", perm=[2, 0, 1], output="y")
    (folder / "sam_vit_b_01ec64.encoder.onnx").write_bytes(
        encoder.file({"x": (FLOAT, (684, 1024, 3))}, {"y": (FLOAT, (3, 684, 1024))}, {})
    )
    graph = Graph()
    bright = graph.node("Sub", graph.node("ReduceMean", "image_embeddings", axes=[0], keepdims=1),
                        graph.weight(np.array(128, np.float32)))  # fmt: skip
    zero = graph.weight(np.array([0], np.int64))
    first = graph.node("Gather", graph.node("Gather", "point_coords", zero, axis=1), zero, axis=2)
    columns = graph.weight(np.arange(1024, dtype=np.float32).reshape(1, 1, 1024))
    right = graph.node("Sub", columns, first)
    graph.node("Unsqueeze", graph.node("Min", bright, right), zero, output="masks")
    for name, source in (("iou", "point_labels"), ("low", "mask_input")):
        graph.node("Identity", source, output=name)
    inputs = {
        "image_embeddings": (FLOAT, (3, 684, 1024)),
        "point_coords": (FLOAT, (1, "n", 2)),
        "point_labels": (FLOAT, (1, "n")),
        "mask_input": (FLOAT, (1, 1, 256, 256)),
        "has_mask_input": (FLOAT, (1,)),
        "orig_im_size": (FLOAT, (2,)),
    }
    outputs = {"masks": (FLOAT, (1, 1, 684, 1024)), "iou": (FLOAT, (1, "n")), "low": (FLOAT, (1, 1, 256, 256))}
    (folder / "sam_vit_b_01ec64.decoder.onnx").write_bytes(graph.file(inputs, outputs, {}))


def test_segment_anything_is_told_where_to_look(tmp_path):
    segment_anything(stock_folder(tmp_path, "sam"))
    source = make_mask_source({"name": "rembg", "model": "sam", "prompt": {"box": [32, 10, 60, 60]}})
    mask = segment(source, squares())
    assert mask[0, 20:44, 36:44].min() == 1 and not mask[0, :, :28].any() and not mask[2].any()
    left = segment(source, squares(), {"points": [[10, 32], [60, 60]], "labels": [1, 0]})
    assert left[0, 20:44, 20:44].min() == 1
    with pytest.raises(ValueError, match="a prompt with 'text' is not for this source, it takes box, points, paper"):
        segment(source, squares(), {"text": "a robot."})
    with pytest.raises(ValueError, match="a prompt is one of"):
        segment(Rembg("sam"), squares())


def test_an_environment_shows_rembg_s_masks_live(tmp_path):
    import gymnasium as gym

    config = {"name": "rembg", "model": "u2net_custom", "model_path": str(model_file(tmp_path / "bright.onnx"))}
    observation, _ = gym.make("MaskHopper-v0", image_size=32, distractor="video", mask_source=config).reset(seed=0)
    want = hard(make_mask_source(config).segment(observation["pixels"][None]))[0]
    assert 0 < want.mean() < 255 and np.array_equal(observation["mask"][..., 0], want)


def test_a_prompt_is_refused_where_there_is_nothing_to_tell(tmp_path):
    file = model_file(tmp_path / "bright.onnx")
    with pytest.raises(ValueError, match="Rembg cannot be told what to look for: leave out the prompt"):
        segment(Rembg("u2net_custom", file), squares(), {"box": [0, 0, 9, 9]})
    with pytest.raises(ValueError, match="rembg's 'u2net_custom' finds what is salient and takes no prompt"):
        Rembg("u2net_custom", file, prompt={"box": [0, 0, 9, 9]})


def test_a_file_that_is_written_anew_is_another_session(tmp_path):
    file = model_file(tmp_path / "bright.onnx")
    first = Rembg("u2net_custom", file)
    model_file(file, batch="n")
    assert Rembg("u2net_custom", file)._session is not first._session


def test_missing_memory_is_told_with_the_cure(tmp_path):
    source = Rembg("u2net_custom", model_file(tmp_path / "bright.onnx", batch="n"), batch=4)

    class Network:
        get_inputs = source._network.get_inputs

        def run(self, *_):
            raise RuntimeError("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Failed to allocate memory for requested")

    source._network = Network()
    with pytest.raises(MemoryError, match=r"not enough memory for 4 frames at a time: .* \(batch=2\)"):
        segment(source, squares())


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_provider_that_cannot_be_loaded_is_warned_of(tmp_path, monkeypatch):
    """A build for CUDA on a machine without it: rembg says so, and the attribute what the session got."""
    import onnxruntime

    there = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: there)
    with pytest.warns(RuntimeWarning, match="CUDAExecutionProvider"):
        source = Rembg("u2net_custom", model_file(tmp_path / "bright.onnx"))
    assert source.providers == ("CPUExecutionProvider",)


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        (None, ValueError, "needs model_path, the .onnx file"),
        ("nothing.onnx", FileNotFoundError, "there is no model file nothing.onnx in /.*`masklam train-segmenter"),
    ],
)
def test_a_custom_model_needs_its_file(path, error, message):
    with pytest.raises(error, match=message):
        Rembg("u2net_custom", path)


def test_a_file_that_is_no_segmenter(tmp_path):
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(ValueError, match=r"text.onnx is no ONNX file that can be read"):
        Rembg("u2net_custom", tmp_path / "text.onnx")
    with pytest.raises(ValueError, match=r"classifier.onnx is no segmentation model .* shape \(1, 102400\)"):
        Rembg("u2net_custom", model_file(tmp_path / "classifier.onnx", output=(1, 102400)))
    with pytest.raises(ValueError, match=r"classes.onnx .* shape \(1, 3, 320, 320\), one map .* is due"):
        Rembg("u2net_custom", model_file(tmp_path / "classes.onnx", channels=3))
    with pytest.raises(ValueError, match=r"channels_last.onnx .* shape \(1, 320, 320, 1\), one map .* is due"):
        Rembg("u2net_custom", model_file(tmp_path / "channels_last.onnx", output=(1, 320, 320, 1)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"providers": ["CUDAExecutionProvidre"]}, "unknown provider of ONNX Runtime 'CUDAExecutionProvidre'"),
        ({"activation": "softmax"}, "unknown activation 'softmax'"),
        ({"low": 1.0}, "low must be below high"),
        ({"batch": 0}, "batch and threads >= 1"),
    ],
)
def test_options_are_checked(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        Rembg("u2net_custom", model_file(tmp_path / "bright.onnx"), **options)


def test_without_an_onnx_runtime_the_extra_is_named(monkeypatch):
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else real(name))
    with pytest.raises(ImportError, match=r"pip install 'masklam\[rembg\]'"):
        make_mask_source("rembg")


@pytest.mark.parametrize("size", [64, 72, 320])
def test_a_student_runs_in_rembgs_own_session(size, tmp_path):
    """The file for rembg finds what the student finds, through the mask source and in rembg itself."""
    import rembg
    import torch as th
    from PIL import Image

    from masklam_agents.segmenter import SegmenterNet
    from masklam_agents.segmenter.export import export_for_rembg, export_onnx
    from masklam_envs.masks.student import Student

    th.manual_seed(0)
    net = SegmenterNet(4)
    for _ in range(3):
        net(th.randint(0, 256, (4, 32, 32, 3), dtype=th.uint8))
    export_onnx(net.eval(), tmp_path / "student.onnx", size, {})
    file = tmp_path / ".rembg" / "for_rembg.onnx"  # rembg itself reads files of yours from its folder alone
    export_for_rembg(net, file, size, {})
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (3, size // 8, size // 8, 3)).repeat(8, 1).repeat(8, 2).astype(np.uint8)
    frames[:, 0, 0] = 255  # rembg divides a frame by its brightest value
    want = Student(tmp_path / "student.onnx").segment(frames)
    found = Rembg("u2net_custom", file, batch=3).segment(frames)
    off = np.abs(found - want)
    assert want.std() > 0.01 and off.mean() < (0.001 if size == 320 else 0.02)
    session = rembg.new_session("u2net_custom", model_path=str(file))
    alone = np.asarray(session.predict(Image.fromarray(frames[0]))[0], np.float32) / 255
    assert np.corrcoef(alone.ravel(), want[0].ravel())[0, 1] > 0.9


def test_the_command_gives_own_video_masks_by_a_model_file(tmp_path):
    """A bright square on a dark picture, and a model that finds what is bright."""
    write_clip(tmp_path / "clip.mp4", np.concatenate([squares()[:2]] * 4))
    options = ("model=u2net_custom", f"model_path={model_file(tmp_path / 'bright.onnx')}")
    arguments = [argument for option in options for argument in ("--mask-option", option)]
    done = masklam("import", tmp_path / "clip.mp4", "--mask-source", "rembg", *arguments, "--out", tmp_path / "data")
    assert done.exit_code == 0, done.output
    assert "1 episodes, 8 frames; masks: rembg, 25" in done.output
    mask = Frames.load(tmp_path / "data").mask
    assert mask[:, 20:44, 20:44].min() == 255 and mask[:, :10].max() == 0


def test_the_command_says_what_rembg_lacks(tmp_path):
    write_clip(tmp_path / "clip.mp4", squares())
    done = masklam("import", tmp_path / "clip.mp4", "--mask-source", "rembg", "--out", tmp_path / "data")
    assert done.exit_code == 2
    assert "Traceback" not in done.output and "model" in done.output
    assert not (tmp_path / "data").exists()
