"""The student: the file is the network, training learns, and the environment uses it."""

import pickle
import time

import gymnasium as gym
import numpy as np
import pytest
import torch as th

from masklam_agents.segmenter import SegmenterNet, train_segmenter
from masklam_agents.segmenter.export import export_onnx, onnx_bytes
from masklam_agents.segmenter.onnx_file import FLOAT, UINT8, Graph
from masklam_envs import collect
from masklam_envs.data.frames import Frames, LazyFrames, pixel_trajectories
from masklam_envs.masks import make_mask_source, segment
from masklam_envs.masks.quality import measure
from masklam_envs.masks.student import Student
from masklam_envs.masks.threshold import hard
from tests.helpers import assert_same, rollout

pytest.importorskip("onnxruntime")


def used_network(base=4):
    """Random weights, and the statistics of some batches in its normalisation."""
    th.manual_seed(0)
    net = SegmenterNet(base)
    for _ in range(3):
        net(th.randint(0, 256, (4, 32, 32, 3), dtype=th.uint8))
    return net.eval()


@pytest.fixture
def file(tmp_path):
    export_onnx(used_network(), tmp_path / "student.onnx", 32, {"why": "test"})
    return tmp_path / "student.onnx"


@pytest.mark.parametrize("base", [3, 4, 16])
def test_the_file_computes_what_the_network_computes(base, tmp_path):
    net = used_network(base)
    (tmp_path / "net.onnx").write_bytes(onnx_bytes(net, 32, {}))
    frames = np.random.default_rng(1).integers(0, 256, (5, 32, 32, 3)).astype(np.uint8)
    with th.no_grad():
        want = net(th.from_numpy(frames)).sigmoid().numpy()
    got = Student(tmp_path / "net.onnx", batch=2).segment(frames)
    assert want.std() > 1e-3 and np.abs(got - want).max() < 1e-5


def test_one_frame_or_many_are_the_same_bytes(file):
    frames = np.random.default_rng(1).integers(0, 256, (6, 32, 32, 3)).astype(np.uint8)
    whole = Student(file).segment(frames)
    assert np.array_equal(np.concatenate([Student(file).segment(frame[None]) for frame in frames]), whole)


def test_frames_of_another_size_are_resized(file):
    frames = np.random.default_rng(1).integers(0, 256, (2, 16, 24, 3)).astype(np.uint8)
    assert segment(Student(file), frames).shape == (2, 16, 24)


def discs(episodes=6, length=10, size=32, seed=0):
    """A dataset of pixels: a red disc before noise of any colour, and its masks."""
    rng = np.random.default_rng(seed)
    count = episodes * (length + 1)
    rgbm = np.empty((count, size, size, 4), np.uint8)
    rgbm[..., :3] = rng.integers(0, 256, (count, size // 4, size // 4, 3)).repeat(4, 1).repeat(4, 2)
    y, x = rng.uniform(6, size - 6, (2, count, 1, 1))
    rows, columns = np.indices((size, size))
    inside = (rows - y) ** 2 + (columns - x) ** 2 < 25
    rgbm[inside, :3] = (200, 30, 30)
    rgbm[..., 3] = np.where(inside, 255, 0)
    meta = {"base": None, "masks": "simulator", "action_low": [], "action_high": []}
    return Frames(pixel_trajectories(meta, [length] * episodes), rgbm, [np.zeros((length + 1, 0))] * episodes)


def test_training_learns_and_repeats_itself(tmp_path):
    data = discs()
    for name in ("a.onnx", "b.onnx"):
        train_segmenter([data], tmp_path / name, updates=3, batch_size=8, base=4, precision="fp32")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    quality = train_segmenter([data], tmp_path / "a.onnx", updates=60, batch_size=16, base=8, precision="fp32")
    assert quality.iou_mean > 0.4
    unseen = discs(seed=1)
    found = hard(Student(tmp_path / "a.onnx").segment(np.ascontiguousarray(unseen.pixels)))
    assert measure(found, unseen.mask).iou_mean > 0.4


def test_an_environment_uses_it_live(file):
    env = gym.make("MaskHopper-v0", image_size=32, mask_source={"name": "student", "path": str(file)})
    observation, _ = env.reset(seed=0)
    want = hard(Student(file).segment(observation["pixels"][None]))[0]
    assert np.array_equal(observation["mask"][..., 0], want)


def test_a_copy_of_such_an_environment_is_one(file):
    env = gym.make("MaskHopper-v0", image_size=32, mask_source={"name": "student", "path": str(file)})
    assert_same(rollout(pickle.loads(pickle.dumps(env)), 1, 2)[0], rollout(env, 1, 2)[0])


def test_frames_that_it_masks_are_sent_to_other_processes(file):
    """Its session cannot be: the other process makes one of its own."""
    env = gym.make("MaskHopper-v0", image_size=32, mask_source={"name": "student", "path": str(file)})
    frames = LazyFrames(collect("MaskHopper-v0", 1, max_steps=4), env)
    want, _ = frames.rows(np.arange(3))
    assert want[..., 3].any()
    assert np.array_equal(pickle.loads(pickle.dumps(frames)).rows(np.arange(3))[0], want)


def test_a_missing_file_is_named_with_folder_and_command(monkeypatch, tmp_path):
    monkeypatch.setenv("MASKLAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MASKLAM_STUDENT", raising=False)
    folder = tmp_path / "cache" / "segmenters"
    with pytest.raises(FileNotFoundError, match=rf"no student student.onnx in {folder}: .*`masklam train-segmenter"):
        gym.make("MaskHopper-v0", mask_source="student")
    monkeypatch.setenv("MASKLAM_STUDENT", str(tmp_path / "mine.onnx"))
    with pytest.raises(FileNotFoundError, match="no student mine.onnx"):
        make_mask_source("student")


def test_another_onnx_file_is_refused_with_what_it_has(tmp_path):
    graph = Graph()
    graph.node("Relu", "x", output="y")
    shape = (1, 3, 320, 320)
    (tmp_path / "other.onnx").write_bytes(graph.file({"x": (FLOAT, shape)}, {"y": (FLOAT, shape)}, {}))
    with pytest.raises(ValueError, match=r"is no student .* but has x: tensor\(float\) \[1, 3, 320, 320\]"):
        Student(tmp_path / "other.onnx")
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(ValueError, match="text.onnx is no ONNX file that can be read"):
        Student(tmp_path / "text.onnx")


def stranger(path, *, half=False, gain=1.0):
    """An ONNX file with a student's inputs and outputs but not its masks."""
    graph = Graph()
    x = graph.node("ReduceMean", graph.node("Cast", "frames", to=FLOAT), axes=[3], keepdims=0)
    x = graph.node("Mul", x, graph.weight(np.array(gain / 255, np.float32)))
    if half:
        x = graph.node("Squeeze", graph.node("ReduceMean", x, axes=[2]), graph.weight(np.array([2], np.int64)))
    graph.node("Identity", x, output="mask")
    side = ("b", 32) if half else ("b", 32, 32)
    path.write_bytes(graph.file({"frames": (UINT8, ("b", 32, 32, 3))}, {"mask": (FLOAT, side)}, {}))
    return path


def test_masks_of_another_shape_or_range_are_found_when_it_is_made(tmp_path):
    Student(stranger(tmp_path / "same.onnx"))
    with pytest.raises(ValueError, match=r"half.onnx gives float32 \(1, 32\) from 0.502 to 0.502, not masks"):
        Student(stranger(tmp_path / "half.onnx", half=True))
    with pytest.raises(ValueError, match=r"loud.onnx gives float32 \(1, 32, 32\) from 1.51 to 1.51, not masks"):
        Student(stranger(tmp_path / "loud.onnx", gain=3.0))


def test_there_is_nothing_to_tell_a_student(file):
    with pytest.raises(ValueError, match="Student cannot be told what to look for"):
        segment(Student(file), np.zeros((1, 32, 32, 3), np.uint8), {"box": [0, 0, 9, 9]})


def test_missing_memory_is_told_with_the_cure(file):
    source = Student(file, batch=8)

    class Network:
        def run(self, *_):
            raise RuntimeError("std::bad_alloc")

    source._network = Network()
    with pytest.raises(MemoryError, match=r"not enough memory for 6 frames at a time: .* \(batch=3\)"):
        segment(source, np.zeros((6, 32, 32, 3), np.uint8))


def test_300_frames_a_second_on_one_core(tmp_path):
    """The default network's file on frames of 64 x 64, one at a time as in a running environment; processor time."""
    export_onnx(used_network(16), tmp_path / "student.onnx", 64, {})
    source = Student(tmp_path / "student.onnx")
    frames = np.random.default_rng(0).integers(0, 256, (100, 64, 64, 3)).astype(np.uint8)
    best = np.inf
    for _ in range(3):
        start = time.process_time()
        for frame in frames:
            segment(source, frame[None])
        best = min(best, time.process_time() - start)
    assert len(frames) / best > 300


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"updates": 0}, "updates and base must be at least 1"),
        ({"held_out": 1.0}, r"held_out must be in \(0, 1\)"),
        ({"datasets": []}, "at least one dataset"),
        ({"datasets": [discs(size=36)]}, r"a multiple of 8 pixels, got \[36\]"),
        ({"datasets": [discs(), discs(size=16)]}, r"one size, a multiple of 8 pixels, got \[16, 32\]"),
    ],
)
def test_bad_training_arguments(change, message, tmp_path):
    arguments = {"datasets": [discs()], "out": tmp_path / "x.onnx", **change}
    with pytest.raises(ValueError, match=message):
        train_segmenter(**arguments)
    assert not (tmp_path / "x.onnx").exists()


def test_labels_without_an_agent(tmp_path):
    data = discs()
    data.rgbm[..., 3] = 0
    with pytest.raises(ValueError, match="no frame has an agent in its mask"):
        train_segmenter([data], tmp_path / "x.onnx")
