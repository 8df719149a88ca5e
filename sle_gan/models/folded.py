"""Generators in the form that only generates: a chain of plain convolutions, everything constant folded into them.

In inference, spectral norm divides a kernel by a constant, and batch norm multiplies channels by a constant and adds
another. For a convolution, noise and batch norm, with a = gamma / sqrt(variance + epsilon) and b = beta - mean a,

    BN(conv(x) / sigma + w n) = conv'(x) + w a n + b,    kernel' = a kernel / sigma

so that all that is left to do behind a convolution is one pass over its output: add noise and bias, activate, gate.
The last step of upsampling in its form `box` is a part of that pass (`sle_gan.models.upsampling`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from keras import ops
from keras.backend import standardize_dtype

from sle_gan import engine
from sle_gan.errors import UserError
from sle_gan.models import convolution
from sle_gan.models.layers import BatchNorm, pool_to
from sle_gan.models.precision import to_generate_in
from sle_gan.models.upsampling import fastest_form, sum_box, unsummed_box, upsample_conv
from sle_gan.shapes import Size, Start, map_shape, map_size

# Convolutions to fewer filters stay float32: what follows them is one compiled loop, which takes three to five times as
# long from 16 channels of bfloat16 as from 16 of float32 (2x1024x1024: 63 for 17 ms).
FEWEST_IN_BFLOAT16 = 32

Kind = Literal["project", "conv", "up", "deconv"]
Activation = Literal["glu", "relu", "tanh", "none"]
StageArrays = Mapping[str, Any]


@dataclass(frozen=True)
class Stage:
    """One convolution and what follows it; its numbers are in the arrays of the same position.

    | kind | kernel | what it does |
    |---|---|---|
    | `project` | (latent, *start, F) | latents (B, latent) -> maps (B, *start, F) |
    | `conv` | (k, k, C, F) | convolution with "same" padding |
    | `up` | (3, 3, C, F) | nearest upsampling by 2, then the convolution |
    | `deconv` | (4, 4, F, C) | transposed convolution of stride 2 |

    Args:
        kind: which convolution.
        size: shorter side of its output.
        activation: `glu` halves the channels.
        noise: whether the arrays have `noise` (F,), which is multiplied with a noise map (B, H, W, 1).
        gated: whether the activated maps are multiplied with the gate for `size`.
        excites: size of the maps for which this stage's maps are the gate, by the arrays `squeeze` (4, 4, C, G)
            and `excite` (1, 1, G, G).
        start: rows and columns of the first map, to which all others are in proportion.
    """

    kind: Kind
    size: int
    activation: Activation
    noise: bool = False
    gated: bool = False
    excites: int | None = None
    start: Start = (4, 4)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of its output."""
        return map_shape(self.size, self.start)


class Classes(NamedTuple):
    """The classes that a generator makes: their names, the training pictures of each, their vectors (classes, E)."""

    names: tuple[str, ...]
    pictures: tuple[int, ...]
    vectors: np.ndarray


class Folded(NamedTuple):
    """A generator's stages, and the float32 arrays of each: `kernel`, `bias` (F,) and what `Stage` names.

    Of a generator of classes, the first stage's input is the latents and behind them the vector of the class.

    `precision` is that of the convolutions, and so of the maps between stages. The first layer, convolutions to few
    filters, what follows a convolution, and gates are computed in float32 in any case.
    """

    stages: tuple[Stage, ...]
    arrays: list[dict[str, Any]]
    class_vectors: Classes | None = None
    precision: str = "float32"

    @property
    def latent(self) -> int:
        """Length of a latent vector."""
        return self.arrays[0]["kernel"].shape[0] - (self.class_vectors.vectors.shape[1] if self.class_vectors else 0)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of its classes; none where it knows none."""
        return self.class_vectors.names if self.class_vectors else ()

    @property
    def class_pictures(self) -> tuple[int, ...]:
        """How many training pictures each class had."""
        return self.class_vectors.pictures if self.class_vectors else ()

    def of_class(self, weights: np.ndarray) -> Folded:
        """The generator of one class, or of a mixture, which knows no classes: what they add is a part of its bias.

        Args:
            weights: of all classes, (classes,).
        """
        if self.class_vectors is None:
            raise ValueError("this generator knows no classes")
        kernel, latent = np.asarray(self.arrays[0]["kernel"]), self.latent
        bias = self.arrays[0]["bias"] + np.tensordot(
            np.asarray(weights, np.float32) @ self.class_vectors.vectors, kernel[latent:], 1
        )  # (rows, columns, F): added to the maps of every latent
        first = {**self.arrays[0], "kernel": kernel[:latent], "bias": bias}
        return Folded(self.stages, [first, *self.arrays[1:]], precision=self.precision)

    def in_precision(self, precision: str) -> Folded:
        """The generator that computes in "float32", in "bfloat16", or with "auto" in what is faster on this machine.

        Raises:
            ValueError: for another name, or if its tensors are on the device already.
        """
        if not all(isinstance(own["kernel"], np.ndarray) for own in self.arrays):
            raise ValueError("the kernels are on the device already; choose the precision before")
        return self._replace(arrays=[dict(own) for own in self.arrays], precision=to_generate_in(precision))

    @property
    def noise_sizes(self) -> list[Size]:
        """Sides of the noise maps that `run` takes."""
        return [map_size(stage.size, stage.start) for stage in self.stages if stage.noise]

    @property
    def gate_widths(self) -> dict[int, int]:
        """Channels of the maps that are multiplied with gates, which smaller maps give, by the maps' sides."""
        gates = {
            stage.excites: own["excite"].shape[-1] for stage, own in zip(self.stages, self.arrays) if stage.excites
        }
        return dict(sorted(gates.items()))

    def fold(self) -> Folded:
        """Itself: it can stand in for the network where pictures are generated."""
        return self

    def on_device(self) -> Folded:
        """The same with tensors of the engine. The arrays given up are freed one by one."""
        for stage, own in zip(self.stages, self.arrays):
            for name in own:
                if isinstance(own[name], np.ndarray):
                    own[name] = engine.to_device(own[name])
                    if name == "kernel" and _may_be_bfloat16(stage, own[name]):
                        own[name] = ops.cast(own[name], self.precision)
        return self

    def split(self, size: int) -> tuple[Folded, Folded]:
        """The stages that make maps up to a size, and those that make larger ones."""
        count = sum(stage.size <= size for stage in self.stages)
        return Folded(self.stages[:count], self.arrays[:count]), Folded(self.stages[count:], self.arrays[count:])


class Operations(Protocol):
    """What `run` needs; implemented on tensors here, and by the writer of ONNX files on names of graph nodes."""

    def convolve(self, stage: Stage, x: Any, kernel: Any, bias: Any) -> Any:
        """The convolution; `finish` may do its last step and add the bias."""
        ...

    def finish(self, x: Any, stage: Stage, arrays: StageArrays, noise: Any, gate: Any, kernel: Any) -> Any:
        """Noise, activation and gate, where not None; in the precision of the next stage's kernel, if there is one."""
        ...

    def gate(self, x: Any, shape: tuple[int, int], squeeze: Any, excite: Any) -> Any:
        """Skip-layer excitation: maps (B, *shape, C) -> factors (B, 1, 1, G) in (0, 1)."""
        ...


def run(
    do: Operations,
    stages: Sequence[Stage],
    arrays: Sequence[StageArrays],
    x: Any,
    noises: Iterable[Any],
    gates: Mapping[int, Any] | None = None,
    steer: Callable[[int, Any], Any] | None = None,
) -> tuple[Any, dict[int, Any]]:
    """Passes latents, or the maps that earlier stages left, through stages.

    Args:
        do: how to compute.
        stages, arrays: all or a part of those of a `Folded`.
        x: latents (B, latent), or maps (B, H, W, C).
        noises: one map (B or 1, H, W, 1) for each stage that has noise.
        gates: what earlier stages left, by the size of the maps that they are for.
        steer: what to use in place of a gate, from the size of the maps that it is for and the gate.

    Returns:
        The last stage's maps, or images before rounding; and the gates for stages to come.
    """
    noises, gates = iter(noises), dict(gates or {})
    following = [own["kernel"] for own in arrays[1:]]
    for stage, own, kernel in zip(stages, arrays, [*following, None]):
        x = do.convolve(stage, x, own["kernel"], own["bias"])
        noise = next(noises) if stage.noise else None
        gate = gates.pop(stage.size) if stage.gated else None
        x = do.finish(x, stage, own, noise, gate, kernel)
        if stage.excites is not None:
            made = do.gate(x, stage.shape, own["squeeze"], own["excite"])
            gates[stage.excites] = made if steer is None else steer(stage.excites, made)
    return x, gates


class TensorOperations:
    """On the engine's tensors.

    Args:
        fuse: compile what follows a convolution into one loop, and choose its form for this machine; False in graphs
            for others.
    """

    def __init__(self, fuse: bool = True):
        self._finish = engine.fused(_finish) if fuse else _finish
        self._forms = convolution.GENERATING if fuse else ()

    def convolve(self, stage: Stage, x: Any, kernel: Any, bias: Any) -> Any:
        del bias  # `finish` passes over the maps anyway
        x = ops.cast(x, kernel.dtype)  # maps that other stages left are float32
        if stage.kind == "project":
            latent, *shape = kernel.shape
            return ops.reshape(ops.matmul(x, ops.reshape(kernel, (latent, -1))), (-1, *shape))
        if stage.kind == "deconv":
            return convolution.conv_transpose(x, kernel, 2, "same", self._forms)
        if stage.kind == "conv":
            return convolution.conv(x, kernel, 1, "same", self._forms)
        form = fastest_form(stage.size // 2)
        return unsummed_box(x, kernel) if form == "box" else upsample_conv(x, kernel, form)

    def finish(self, x: Any, stage: Stage, arrays: StageArrays, noise: Any, gate: Any, kernel: Any) -> Any:
        optional: dict[str, Any] = {}
        if noise is not None:
            optional.update(noise=noise, weight=arrays["noise"])
        if gate is not None:
            optional["gate"] = gate
        dtype = "float32" if kernel is None else standardize_dtype(kernel.dtype)
        return self._finish(stage.activation, stage.shape[0], dtype, x, arrays["bias"], optional)

    def gate(self, x: Any, shape: tuple[int, int], squeeze: Any, excite: Any) -> Any:
        pooled = pool_to(ops.cast(x, "float32"), 4)
        hidden = ops.silu(engine.conv(pooled, squeeze, 1, "valid"))  # (B, 1, 1, G)
        return ops.sigmoid(engine.conv(hidden, excite, 1, "valid"))


def _may_be_bfloat16(stage: Stage, kernel: Any) -> bool:
    filters = kernel.shape[-2 if stage.kind == "deconv" else -1]
    return stage.kind != "project" and filters >= FEWEST_IN_BFLOAT16


def _finish(activation: Activation, height: int, dtype: str, x: Any, bias: Any, optional: Mapping[str, Any]) -> Any:
    x = ops.cast(x, "float32")
    x = (sum_box(x) if x.shape[1] > height else x) + bias
    if "noise" in optional:
        x = x + optional["noise"] * optional["weight"]
    if activation == "glu":
        half = x.shape[-1] // 2
        x = x[..., :half] * ops.sigmoid(x[..., half:])
    elif activation != "none":
        x = {"relu": ops.relu, "tanh": ops.tanh}[activation](x)
    x = x * optional["gate"] if "gate" in optional else x
    return ops.cast(x, dtype)


class Weights:
    """A generator's weights by their paths, as networks and weights files name them; each is checked as it is read.

    Args:
        arrays: arrays, or a network's variables.
        complaint: starts the message for what does not fit.
    """

    def __init__(self, arrays: Mapping[str, Any], complaint: str = "not these weights"):
        self._arrays, self._complaint = arrays, complaint
        self._left = set(arrays)

    def __call__(self, path: str, *shape: int) -> np.ndarray:
        """The array of a path as float32, whatever the network computes in.

        Raises:
            UserError: if there is none, or it has another shape.
        """
        if path not in self._arrays:
            raise UserError(f"{self._complaint}: {path} is nothing in the file, {shape} in the network")
        found = self._arrays[path]
        if tuple(found.shape) != shape:
            raise UserError(f"{self._complaint}: {path} is {tuple(found.shape)} in the file, {shape} in the network")
        self._left.discard(path)
        return np.asarray(ops.convert_to_numpy(found.value) if hasattr(found, "value") else found, np.float32)

    def expect_no_more(self) -> None:
        """Raises a UserError if there are weights that were not asked for."""
        for path in sorted(self._left):
            shape = tuple(self._arrays[path].shape)
            raise UserError(f"{self._complaint}: {path} is {shape} in the file, nothing in the network")

    def spectral(self, path: str, *shape: int) -> np.ndarray:
        """The kernel (..., F) of a spectral layer, divided by sigma = v^T M u."""
        kernel = self(f"{path}/kernel", *shape)
        matrix = kernel.reshape(-1, shape[-1])
        return kernel / (self(f"{path}/v", len(matrix)) @ matrix @ self(f"{path}/u", shape[-1]))

    def norm(self, path: str, channels: int) -> tuple[np.ndarray, np.ndarray]:
        """What a batch norm multiplies channels with, and what it adds: (channels,) each."""
        variance = self(f"{path}/moving_variance", channels) + np.float32(BatchNorm.epsilon)
        scale = self(f"{path}/gamma", channels) / np.sqrt(variance)
        return scale, self(f"{path}/beta", channels) - self(f"{path}/moving_mean", channels) * scale

    def folded(self, path: str, shape: tuple[int, ...], norm: str, noise: str = "") -> dict[str, np.ndarray]:
        """A stage's arrays: a spectral convolution, the noise behind it if any, and the batch norm behind that."""
        scale, shift = self.norm(norm, shape[-1])
        arrays = {"kernel": self.spectral(path, *shape) * scale, "bias": shift}
        return {**arrays, "noise": self(f"{noise}/weight") * scale} if noise else arrays
