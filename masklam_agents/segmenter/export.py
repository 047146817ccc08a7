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


def export_onnx(net: SegmenterNet, path: str | os.PathLike[str], image_size: int, notes: Mapping[str, Any]) -> None:
    """Write a network; the file has a temporary name until it is whole.

    :param net: in evaluation mode; normalisation becomes part of the convolutions
    :param path: of the .onnx file
    :param image_size: side of the frames, a multiple of 8
    :param notes: JSON-able record of how it was trained, kept in the file
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(onnx_bytes(net, image_size, notes))
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def onnx_bytes(net: SegmenterNet, image_size: int, notes: Mapping[str, Any]) -> bytes:
    """The file of :func:`export_onnx`."""
    graph = Graph()

    def block(name: str, x: str) -> str:
        return graph.node("Relu", _convolution(graph, x, net.blocks[name], pixels=name == "stem"))

    def doubled(x: str) -> str:
        scales = graph.weight(np.array([1, 1, 2, 2], np.float32))
        return graph.node(
            "Resize", x, "", scales, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
        )

    x = graph.node("Cast", graph.node("Transpose", INPUT, perm=[0, 3, 1, 2]), to=FLOAT)
    x = graph.node("Mul", x, graph.weight(np.array(1 / 255, np.float32)))
    x = graph.node("Sub", x, graph.weight(np.array(0.5, np.float32)))
    half = block("half1", block("stem", graph.node("SpaceToDepth", x, blocksize=2)))
    quarter = block("quarter1", block("down1", half))
    deep = block("eighth2", block("eighth1", block("down2", quarter)))
    quarter = block("merge2", graph.node("Add", quarter, doubled(block("up2", deep))))
    half = block("merge1", graph.node("Add", half, doubled(block("up1", quarter))))
    logits = graph.node("DepthToSpace", _conv(graph, half, net.head.weight, net.head.bias), blocksize=2, mode="CRD")
    axis = graph.weight(np.array([1], np.int64))
    graph.node("Squeeze", graph.node("Sigmoid", logits), axis, output=OUTPUT)
    return graph.file(
        {INPUT: (UINT8, ("batch", image_size, image_size, 3))},
        {OUTPUT: (FLOAT, ("batch", image_size, image_size))},
        {"masklam": json.dumps({"image_size": image_size, "base": net.base, **notes})},
    )


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
