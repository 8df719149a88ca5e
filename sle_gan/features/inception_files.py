"""The layers of the FID Inception under their names in two foreign files, and readers of those files.

The frozen graph is a protocol buffer whose schema TensorBoard ships: no TensorFlow needed. Which of its
scopes is which layer of the PyTorch port was checked against torch-fidelity's converter
(github.com/toshas/torch-fidelity, Apache-2.0); the table below is a restatement by kind of block.
"""

from __future__ import annotations

import math
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sle_gan.errors import UserError

PARTS = ("kernel", "gamma", "beta", "mean", "variance")
_TORCH_PARTS = ("conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var")
_GRAPH_PARTS = (
    "conv2d_params",
    "batchnorm/gamma",
    "batchnorm/beta",
    "batchnorm/moving_mean",
    "batchnorm/moving_variance",
)
_GRAPH_FILE = "classify_image_graph_def.pb"
# The graph has 96 MB and its largest kernel 1.5 million numbers; a packed file can grow to any size.
_MOST_BYTES = 200_000_000
_MOST_NUMBERS = 4_000_000


def _chain(branch: str, scope: str, length: int) -> dict[str, str]:
    """branch_1: scope/conv, branch_2: scope/conv_1, ..."""
    return {f"{branch}_{i + 1}": f"{scope}/conv{f'_{i}' if i else ''}" for i in range(length)}


_STEM = ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3")
_ENDS = {"branch1x1": "conv", "branch_pool": "tower_2/conv"}
_A = _ENDS | _chain("branch5x5", "tower", 2) | _chain("branch3x3dbl", "tower_1", 3)
_B = {"branch3x3": "conv"} | _chain("branch3x3dbl", "tower", 3)
_C = _ENDS | _chain("branch7x7", "tower", 3) | _chain("branch7x7dbl", "tower_1", 5)
_D = _chain("branch3x3", "tower", 2) | _chain("branch7x7x3", "tower_1", 4)
_E = _ENDS | _chain("branch3x3", "tower", 1) | _chain("branch3x3dbl", "tower_1", 2)
_E |= {"branch3x3_2a": "tower/mixed/conv", "branch3x3_2b": "tower/mixed/conv_1"}
_E |= {"branch3x3dbl_3a": "tower_1/mixed/conv", "branch3x3dbl_3b": "tower_1/mixed/conv_1"}
_BLOCKS = [
    *((f"Mixed_5{letter}", _A) for letter in "bcd"),
    ("Mixed_6a", _B),
    *((f"Mixed_6{letter}", _C) for letter in "bcde"),
    ("Mixed_7a", _D),
    ("Mixed_7b", _E),
    ("Mixed_7c", _E),
]


def _scopes() -> dict[str, str]:
    scopes = {layer: f"conv{f'_{i}' if i else ''}" for i, layer in enumerate(_STEM)}
    for i, (block, branches) in enumerate(_BLOCKS):
        top = f"mixed{f'_{i}' if i else ''}"
        scopes |= {f"{block}.{branch}": f"{top}/{scope}" for branch, scope in branches.items()}
    return scopes


SCOPES = _scopes()  # layer of the port -> scope of the frozen graph, all 94 convolutions


def read_foreign(path: Path) -> dict[str, np.ndarray]:
    """All tensors by `layer/part`, float32, kernels as (height, width, in, out).

    Raises:
        UserError: if it is neither file, or lacks a tensor.
    """
    start = _first_bytes(path)
    if start[:2] == b"\x1f\x8b":
        return _from_graph(path, _graph_in_archive(path))
    # A zip archive, or a bare pickle as PyTorch wrote before 1.6.
    if start[:2] == b"PK" or start[:1] == b"\x80":
        return _from_torch(path)
    with path.open("rb") as file:
        return _from_graph(path, file.read(_MOST_BYTES))


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(8)


def _graph_in_archive(path: Path) -> bytes:
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                if Path(member.name).name == _GRAPH_FILE and (file := archive.extractfile(member)):
                    return file.read(_MOST_BYTES)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise UserError(f"{path} is damaged or no .tgz archive: {error}") from error
    raise UserError(f"{path} holds no {_GRAPH_FILE}; expected inception-2015-12-05.tgz")


def _from_graph(path: Path, content: bytes) -> dict[str, np.ndarray]:
    try:
        from google.protobuf.message import DecodeError
        from tensorboard.compat.proto import graph_pb2
    except ImportError as error:
        raise UserError(f"reading {path.name} needs the package tensorboard: pip install tensorboard") from error

    graph = graph_pb2.GraphDef()  # pyright: ignore[reportAttributeAccessIssue]  (made at run time)
    try:
        graph.ParseFromString(content)
    except DecodeError as error:
        raise UserError(
            f"{path} is none of the files with the FID Inception: expected inception-2015-12-05.tgz, "
            f"{_GRAPH_FILE}, pt_inception-2015-12-05-6726825d.pth or our own .h5"
        ) from error
    constants = {node.name: node.attr["value"].tensor for node in graph.node if node.op == "Const"}
    wanted = {
        f"{layer}/{part}": f"{scope}/{name}"
        for layer, scope in SCOPES.items()
        for part, name in zip(PARTS, _GRAPH_PARTS)
    }
    _check_names(path, wanted, constants)
    try:
        return {ours: _constant(constants[name]) for ours, name in wanted.items()}
    except ValueError as error:
        raise UserError(f"{path} is not the FID Inception of 2015-12-05: {error}") from error


def _constant(tensor) -> np.ndarray:
    """A TensorProto of floats: raw bytes, or a list in which the last number stands for all that follow."""
    shape = tuple(dimension.size for dimension in tensor.tensor_shape.dim)
    if math.prod(shape) > _MOST_NUMBERS or min(shape, default=0) < 0:
        raise ValueError(f"a tensor says that it has the shape {shape}")
    if tensor.tensor_content:
        return np.frombuffer(tensor.tensor_content, "<f4").reshape(shape).astype(np.float32)
    values = np.asarray(tensor.float_val, np.float32)
    return np.resize(np.pad(values, (0, max(0, int(np.prod(shape)) - len(values))), "edge"), shape)


def _from_torch(path: Path) -> dict[str, np.ndarray]:
    from sle_gan.convert.state_dicts import to_numpy
    from sle_gan.convert.torch_reader import load_torch_file

    state = load_torch_file(path)
    wanted = {f"{layer}/{part}": f"{layer}.{name}" for layer in SCOPES for part, name in zip(PARTS, _TORCH_PARTS)}
    _check_names(path, wanted, state if isinstance(state, Mapping) else {})
    try:
        tensors = {ours: to_numpy(name, state[name]) for ours, name in wanted.items()}
        # OIHW to HWIO
        return {n: t.transpose(2, 3, 1, 0).copy() if n.endswith("/kernel") else t for n, t in tensors.items()}
    except ValueError as error:
        raise UserError(f"{path} is not the FID Inception of 2015-12-05: {error}") from error


def _check_names(path: Path, wanted: Mapping[str, str], found: Mapping) -> None:
    missing = [name for name in wanted.values() if name not in found]
    if missing:
        raise UserError(
            f"{path} is not the FID Inception of 2015-12-05: {len(missing)} of {len(wanted)} tensors are "
            f"missing, the first is {missing[0]}"
        )
