"""A trained network as the ONNX file that the mask source ``"student"`` reads."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch as th

from masklam_agents.segmenter.network import SegmenterNet
from masklam_agents.segmenter.onnx_file import FLOAT, UINT8, Graph
from masklam_envs.masks.student import INPUT, OUTPUT
from masklam_envs.whole import whole_file

# What rembg's session "u2net_custom" gives to a network: frames of this side, each divided by its brightest value, then
# less this mean and over this deviation (ImageNet's).
REMBG_SIDE = 320
REMBG_MEAN, REMBG_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def export_onnx(net: SegmenterNet, path: str | os.PathLike[str], image_size: int, notes: Mapping[str, Any]) -> None:
    """Write a network for the mask source ``"student"``; the file has a temporary name until it is whole.

    :param net: in evaluation mode; normalisation becomes part of the convolutions
    :param path: of the .onnx file
    :param image_size: side of the frames, a multiple of 8
    :param notes: JSON-able record of how it was trained, kept in the file
    """
    _write(path, onnx_bytes(net, image_size, notes))


def export_for_rembg(
    net: SegmenterNet, path: str | os.PathLike[str], image_size: int, notes: Mapping[str, Any]
) -> None:
    """Write a network for rembg's session ``"u2net_custom"``: from its 320 x 320 pictures to masks of that size.

    rembg's own programs run it too, and the mask source ``"rembg"`` with ``model_path``.  Arguments as for
    :func:`export_onnx`.
    """
    _write(path, rembg_bytes(net, image_size, notes))


def onnx_bytes(net: SegmenterNet, image_size: int, notes: Mapping[str, Any]) -> bytes:
    """The file of :func:`export_onnx`."""
    graph = Graph()
    x = graph.node("Cast", graph.node("Transpose", INPUT, perm=[0, 3, 1, 2]), to=FLOAT)
    x = graph.node("Mul", x, graph.weight(np.array(1 / 255, np.float32)))
    x = graph.node("Sub", x, graph.weight(np.array(0.5, np.float32)))
    axis = graph.weight(np.array([1], np.int64))
    graph.node("Squeeze", graph.node("Sigmoid", _logits(graph, net, x)), axis, output=OUTPUT)
    return graph.file(
        {INPUT: (UINT8, ("batch", image_size, image_size, 3))},
        {OUTPUT: (FLOAT, ("batch", image_size, image_size))},
        _about(net, image_size, notes),
    )


def rembg_bytes(net: SegmenterNet, image_size: int, notes: Mapping[str, Any]) -> bytes:
    """The file of :func:`export_for_rembg`."""
    graph = Graph()
    mean, std = (np.array(values, np.float32).reshape(1, 3, 1, 1) for values in (REMBG_MEAN, REMBG_STD))
    x = graph.node("Mul", "input", graph.weight(std))
    x = graph.node("Add", x, graph.weight(mean - np.float32(0.5)))
    x = _resized(graph, x, REMBG_SIDE, image_size)
    mask = graph.node("Sigmoid", _logits(graph, net, x))
    graph.node("Identity", _resized(graph, mask, image_size, REMBG_SIDE), output=OUTPUT)
    return graph.file(
        {"input": (FLOAT, ("batch", 3, REMBG_SIDE, REMBG_SIDE))},
        {OUTPUT: (FLOAT, ("batch", 1, REMBG_SIDE, REMBG_SIDE))},
        _about(net, image_size, notes),
    )


def _write(path: str | os.PathLike[str], data: bytes) -> None:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part:
        part.write_bytes(data)


def _about(net: SegmenterNet, image_size: int, notes: Mapping[str, Any]) -> dict[str, str]:
    return {"masklam": json.dumps({"image_size": image_size, "base": net.base, **notes})}


def _logits(graph: Graph, net: SegmenterNet, x: str) -> str:
    """The network itself: from (B, 3, S, S) in [-0.5, 0.5] to (B, 1, S, S)."""

    def block(name: str, x: str) -> str:
        return graph.node("Relu", _convolution(graph, x, net.blocks[name], pixels=name == "stem"))

    def doubled(x: str) -> str:
        scales = graph.weight(np.array([1, 1, 2, 2], np.float32))
        return graph.node(
            "Resize", x, "", scales, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
        )

    half = block("half1", block("stem", graph.node("SpaceToDepth", x, blocksize=2)))
    quarter = block("quarter1", block("down1", half))
    deep = block("eighth2", block("eighth1", block("down2", quarter)))
    quarter = block("merge2", graph.node("Add", quarter, doubled(block("up2", deep))))
    half = block("merge1", graph.node("Add", half, doubled(block("up1", quarter))))
    return graph.node("DepthToSpace", _conv(graph, half, net.head.weight, net.head.bias), blocksize=2, mode="CRD")


def _resized(graph: Graph, x: str, side: int, wanted: int) -> str:
    """Bilinear, by pixels' centres."""
    if side == wanted:
        return x
    # ONNX rounds the new side down, and not every reader does so in the same precision.
    scale = (wanted + 0.01) / side
    scales = graph.weight(np.array([1, 1, scale, scale], np.float32))
    return graph.node("Resize", x, "", scales, mode="linear", coordinate_transformation_mode="half_pixel")


def _convolution(graph: Graph, x: str, block: Any, *, pixels: bool) -> str:
    """A convolution with its normalisation folded in; ``pixels``: it reads blocks of 2 x 2 RGB pixels."""
    convolution, norm = block[0], block[1]
    scale = norm.weight / th.sqrt(norm.running_var + norm.eps)
    weight = convolution.weight * scale[:, None, None, None]
    if pixels:
        # ONNX has the four pixels outside and the colours inside, torch's pixel_unshuffle the other way round.
        weight = weight.unflatten(1, (3, 4)).transpose(1, 2).flatten(1, 2)
    return _conv(graph, x, weight, norm.bias - norm.running_mean * scale, convolution.stride[0])


def _conv(graph: Graph, x: str, weight: th.Tensor, bias: Any, stride: int = 1) -> str:
    side, pad = weight.shape[2], weight.shape[2] // 2
    return graph.node(
        "Conv",
        x,
        graph.weight(np.ascontiguousarray(weight.detach().float().numpy())),
        graph.weight(bias.detach().float().numpy()),
        kernel_shape=[side, side],
        pads=[pad] * 4,
        strides=[stride, stride],
    )
