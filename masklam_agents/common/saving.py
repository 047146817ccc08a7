"""Agent files: safetensors with a JSON header and a checksum, never pickle; loading runs no code."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save

from masklam_envs.checksum import check, checksum
from masklam_envs.tensor_file import read_whole
from masklam_envs.whole import whole_file

FORMAT = "masklam-agent"
FORMAT_VERSION = 3
SUFFIX = ".safetensors"


def agent_path(path: str | os.PathLike[str]) -> Path:
    """The file of a name: ``.safetensors`` is added, or put in place of SB3's ``.zip``."""
    path = Path(path)
    if path.suffix == SUFFIX:
        return path
    return path.with_suffix(SUFFIX) if path.suffix == ".zip" else path.with_name(path.name + SUFFIX)


def write_agent(path: str | os.PathLike[str], header: dict[str, Any], tensors: dict[str, th.Tensor]) -> None:
    """Write by a temporary name, then rename: a whole file or none."""
    target = agent_path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    record = {"format": FORMAT, "format_version": FORMAT_VERSION, **header}
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    # In the record: safetensors writes several keys of metadata in a random order.
    record["sha256"] = checksum(json.dumps(record), _bytes(plain))
    # Not save_file: it makes the file readable by its owner alone.
    with whole_file(target) as part:
        part.write_bytes(save(plain, metadata={"masklam": json.dumps(record)}))


def read_agent(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, th.Tensor]]:
    """Header and tensors of an agent file; one without a checksum, from before there was one, is read too.

    :raises FileNotFoundError: when there is none
    :raises ValueError: when it is damaged, no agent, or of another format version
    """
    target = agent_path(path)
    if not target.is_file():
        raise FileNotFoundError(f"no agent at {target}: give the file that agent.save(path) wrote")
    try:
        metadata, data = read_whole(target)
        record, tensors = json.loads(metadata["masklam"]), load(data)
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise ValueError(f"{target} is damaged or no MaskLAM agent ({error}); save it again") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise ValueError(f"{target} is no MaskLAM agent")
    if record.get("format_version") != FORMAT_VERSION:
        raise ValueError(
            f"{target} has format version {record.get('format_version')}, this package reads {FORMAT_VERSION}"
        )
    kept = record.pop("sha256", None)
    check(os.fspath(target), "copy it again, or train and save it again", kept, json.dumps(record), _bytes(tensors))
    return record, tensors


def _bytes(tensors: Mapping[str, th.Tensor]) -> dict[str, NDArray[np.uint8]]:
    """The bytes of tensors on the CPU; NumPy does not know all of their types."""
    return {name: tensor.reshape(-1).view(th.uint8).numpy() for name, tensor in tensors.items()}


def read_header(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Class, configuration and progress, after the whole file was read and checked; errors as in :func:`read_agent`."""
    return read_agent(path)[0]


def space_to_json(space: spaces.Space[Any]) -> dict[str, Any]:
    """A Box, or a Dict of Boxes, as plain JSON values.

    :raises TypeError: for any other space
    """
    if isinstance(space, spaces.Dict):
        return {"dict": {key: space_to_json(part) for key, part in space.items()}}
    if not isinstance(space, spaces.Box):
        raise TypeError(f"only Box and Dict spaces can be saved, got {space}")
    bounds = [x.min().item() if np.all(x == x.min()) else x.tolist() for x in (space.low, space.high)]
    return {"low": bounds[0], "high": bounds[1], "shape": list(space.shape), "dtype": space.dtype.name}


def space_from_json(data: dict[str, Any]) -> spaces.Space[Any]:
    """The inverse of :func:`space_to_json`."""
    if "dict" in data:
        return spaces.Dict({key: space_from_json(part) for key, part in data["dict"].items()})
    shape, dtype = tuple(data["shape"]), np.dtype(data["dtype"]).type
    low, high = (np.broadcast_to(np.asarray(data[end], dtype), shape).copy() for end in ("low", "high"))
    return spaces.Box(low, high, shape, dtype)
