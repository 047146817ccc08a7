"""Writing ONNX files: just the messages of the format that a small network needs.

An ONNX file is a Protocol Buffers message; field numbers are those of ``onnx.proto3`` (ONNX 1.13, IR version 8).
Torch's own exporter needs two more packages for the same graph.

* :class:`Graph` - nodes and weights, and the file they make.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

IR_VERSION, OPSET = 8, 13
FLOAT, UINT8 = 1, 2
_TYPES = {"float32": FLOAT, "uint8": UINT8, "int64": 7}
# Kinds of attributes.
_A_FLOAT, _A_INT, _A_STRING, _A_INTS = 1, 2, 3, 7

Shape = Sequence[int | str]


class Graph:
    """An ONNX graph as it is built."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._weights: list[bytes] = []
        self._count = 0

    def weight(self, values: NDArray[Any]) -> str:
        """Add a constant; returns its name."""
        name = self._name("w")
        self._weights.append(
            b"".join(_number(1, side) for side in values.shape)
            + _number(2, _TYPES[str(values.dtype)])
            + _text(8, name)
            + _bytes(9, np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<")).tobytes())
        )
        return name

    def node(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Add an operator; returns the name of its output.

        :param kind: ONNX's name of it, e.g. ``"Conv"``
        :param inputs: names; ``""`` for one that is left out
        :param attributes: whole numbers, floats, strings or lists of whole numbers
        """
        name = output or self._name("x")
        message = b"".join(_text(1, given) for given in inputs) + _text(2, name) + _text(4, kind)
        self._nodes.append(message + b"".join(_bytes(5, _attribute(key, value)) for key, value in attributes.items()))
        return name

    def file(
        self,
        inputs: Mapping[str, tuple[int, Shape]],
        outputs: Mapping[str, tuple[int, Shape]],
        notes: Mapping[str, str],
    ) -> bytes:
        """The file.

        :param inputs: per name its type (``FLOAT``, ``UINT8``) and shape; a side that is a text may vary
        :param outputs: likewise
        :param notes: metadata
        """
        graph = b"".join(_bytes(1, node) for node in self._nodes) + _text(2, "masklam")
        graph += b"".join(_bytes(5, weight) for weight in self._weights)
        for number, values in ((11, inputs), (12, outputs)):
            graph += b"".join(_bytes(number, _value(name, *about)) for name, about in values.items())
        kept = b"".join(_bytes(14, _text(1, key) + _text(2, value)) for key, value in notes.items())
        return _number(1, IR_VERSION) + _text(2, "masklam") + _bytes(7, graph) + _bytes(8, _number(2, OPSET)) + kept

    def _name(self, letter: str) -> str:
        self._count += 1
        return f"{letter}{self._count}"


def _attribute(name: str, value: Any) -> bytes:
    if isinstance(value, str):
        return _text(1, name) + _text(4, value) + _number(20, _A_STRING)
    if isinstance(value, float):
        return _text(1, name) + _varint(2 << 3 | 5) + np.float32(value).tobytes() + _number(20, _A_FLOAT)
    if isinstance(value, int):
        return _text(1, name) + _number(3, value) + _number(20, _A_INT)
    return _text(1, name) + b"".join(_number(8, each) for each in value) + _number(20, _A_INTS)


def _value(name: str, kind: int, shape: Shape) -> bytes:
    """Name, type and shape of an input or output."""
    sides = b"".join(_bytes(1, _text(2, side) if isinstance(side, str) else _number(1, side)) for side in shape)
    return _text(1, name) + _bytes(2, _bytes(1, _number(1, kind) + _bytes(2, sides)))


def _bytes(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _text(number: int, text: str) -> bytes:
    return _bytes(number, text.encode())


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # a negative number is written as its two's complement
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes((*out, value))
