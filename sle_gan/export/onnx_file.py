"""A folded generator as an ONNX file, written node by node.

The chain needs a dozen kinds of nodes. Writing them takes the package `onnx` alone, works with either engine, and
depends on no converter. Maps are NCHW inside, as ONNX has them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from keras import ops
from onnx import TensorProto, helper, numpy_helper

from sle_gan.errors import UserError
from sle_gan.models.folded import Folded, Stage, StageArrays, run
from sle_gan.models.layers import pooling
from sle_gan.models.upsampling import fuse_upsampling
from sle_gan.storage.atomic import atomic_path

OPSET = 17  # ONNX Runtime since 1.12 (2022)
IR_VERSION = 8
TRANSPOSED_FROM = 16  # size of the maps from which on upsampling and convolution are one transposed convolution
LIMIT = 2**31 - 2**20  # bytes of a protobuf message


class NodeOperations:
    """What `run` needs, on names of nodes' outputs."""

    def __init__(self):
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def constant(self, array: Any, dtype: Any = np.float32) -> str:
        """The name of an initializer."""
        name = f"weight_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array, dtype), name))
        return name

    def node(self, operation: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Appends a node; the name of its output, or a list of them."""
        names = [f"{operation.lower()}_{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(operation, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def convolve(self, stage: Stage, x: Any, kernel: Any, bias: Any) -> Any:
        kernel, bias, kind = _host(kernel), _host(bias), stage.kind
        if kind == "project":
            latent, rows, columns, filters = kernel.shape
            matrix = self.constant(kernel.transpose(0, 3, 1, 2).reshape(latent, -1))
            # (F,), or of a generator of one class (rows, columns, F)
            bias = np.broadcast_to(bias, (rows, columns, filters)).transpose(2, 0, 1).reshape(-1)
            flat = self.node("Gemm", x, matrix, self.constant(bias))
            return self.node("Reshape", flat, self.constant([-1, filters, rows, columns], np.int64))
        if kind == "up" and stage.size // 2 >= TRANSPOSED_FROM:
            kernel, kind = _host(fuse_upsampling(kernel)), "deconv"
        if kind == "deconv":  # (4, 4, F, C) -> (C, F, 4, 4)
            weights = self.constant(kernel.transpose(3, 2, 0, 1))
            return self.node(
                "ConvTranspose", x, weights, self.constant(bias), kernel_shape=[4, 4], strides=[2, 2], pads=[1] * 4
            )
        if kind == "up":
            scales = self.constant([1, 1, 2, 2])
            x = self.node("Resize", x, "", scales, mode="nearest", coordinate_transformation_mode="asymmetric",
                          nearest_mode="floor")  # fmt: skip
        return self._conv(x, kernel, kernel.shape[0] // 2, bias)

    def _conv(self, x: Any, kernel: np.ndarray, pad: int, bias: np.ndarray | None = None) -> Any:
        """(k, k, C, F) -> (F, C, k, k)."""
        inputs = [x, self.constant(kernel.transpose(3, 2, 0, 1))]
        inputs += [] if bias is None else [self.constant(bias)]
        return self.node("Conv", *inputs, kernel_shape=list(kernel.shape[:2]), pads=[pad] * 4)

    def finish(self, x: Any, stage: Stage, arrays: StageArrays, noise: Any, gate: Any, kernel: Any) -> Any:
        del kernel  # all is float32
        if noise is not None:
            maps = self.constant(noise.transpose(0, 3, 1, 2))  # (1, 1, H, W)
            weight = self.constant(_host(arrays["noise"]).reshape(1, -1, 1, 1))
            x = self.node("Add", x, self.node("Mul", maps, weight))
        if stage.activation == "glu":
            values, gates = self.node("Split", x, outputs=2, axis=1)
            x = self.node("Mul", values, self.node("Sigmoid", gates))
        elif stage.activation != "none":
            x = self.node({"relu": "Relu", "tanh": "Tanh"}[stage.activation], x)
        return x if gate is None else self.node("Mul", x, gate)

    def gate(self, x: Any, shape: tuple[int, int], squeeze: Any, excite: Any) -> Any:
        hidden = self._conv(self._pooled(x, *shape), _host(squeeze), 0)
        hidden = self.node("Mul", hidden, self.node("Sigmoid", hidden))
        return self.node("Sigmoid", self._conv(hidden, _host(excite), 0))

    def _pooled(self, x: Any, height: int, width: int) -> Any:
        """`layers.pool_to` of 4: (B, C, height, width) -> (B, C, 4, 4)."""
        if height % 4 == 0 == width % 4:
            window = [height // 4, width // 4]
            return x if window == [1, 1] else self.node("AveragePool", x, kernel_shape=window, strides=window)
        rows = self.node("MatMul", self.constant(pooling(height, 4)), x)
        return self.node("MatMul", rows, self.constant(pooling(width, 4).T))

    def picture(self, x: Any, output: str) -> None:
        """Appends the last nodes: as `pixels.to_uint8`, NHWC, under the name `images`."""
        if output == "uint8":
            x = self.node("Mul", self.node("Add", x, self.constant(1.0)), self.constant(127.5))
            x = self.node("Clip", self.node("Round", x), self.constant(0.0), self.constant(255.0))
            x = self.node("Cast", x, to=TensorProto.UINT8)
        self.nodes.append(helper.make_node("Transpose", [x], ["images"], perm=[0, 2, 3, 1]))


def write_onnx(folded: Folded, noise: Sequence[np.ndarray], path: str | Path, output: str) -> None:
    """See `sle_gan.export.export`.

    Raises:
        UserError: if the weights are more than an ONNX file holds, 2 GB.
    """
    do = NodeOperations()
    x, inputs = "latents", [helper.make_tensor_value_info("latents", TensorProto.FLOAT, ["batch", folded.latent])]
    if folded.class_vectors:
        inputs.append(helper.make_tensor_value_info("classes", TensorProto.INT32, ["batch"]))
        x = do.node("Concat", x, do.node("Gather", do.constant(folded.class_vectors.vectors), "classes"), axis=1)
    x, _ = run(do, folded.stages, folded.arrays, x, noise)
    do.picture(x, output)
    if (size := sum(len(initializer.raw_data) for initializer in do.initializers)) > LIMIT:
        raise UserError(f"{path}: the generator has {size / 1e9:.1f} GB of weights; an .onnx file holds at most 2 GB")
    last, channels = folded.stages[-1], len(_host(folded.arrays[-1]["bias"]))
    kind = TensorProto.UINT8 if output == "uint8" else TensorProto.FLOAT
    graph = helper.make_graph(
        do.nodes,
        "generator",
        inputs,
        [helper.make_tensor_value_info("images", kind, ["batch", *last.shape, channels])],
        do.initializers,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="sle-gan"
    )
    value_range = [0, 255] if output == "uint8" else [-1, 1]
    properties = {"latents": "standard normal", "images": json.dumps({"layout": "NHWC", "range": value_range})}
    if folded.classes:
        properties["classes"] = json.dumps(folded.classes)
    helper.set_model_props(model, properties)
    onnx.checker.check_model(model)
    with atomic_path(path) as temporary:
        temporary.write_bytes(model.SerializeToString())


def _host(array: Any) -> np.ndarray:
    """An array of a `Folded` on this machine's memory, wherever it was."""
    return array if isinstance(array, np.ndarray) else np.asarray(ops.convert_to_numpy(array))
