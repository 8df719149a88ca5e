"""DINOv2 (Oquab et al. 2023, arXiv 2304.07193): vision transformers with 14-pixel patches, without registers.

Features for FD-DINOv2 (Stein et al. 2023, arXiv 2306.04675), which takes the large one and 50,000 images; nobody
trained it on ImageNet's classes. Preprocessing as in github.com/layer6ai-labs/dgm-eval; the map of positions as in
github.com/facebookresearch/dinov2, whose code (Apache-2.0) the weights come from. Weights: `model.safetensors` of the
repositories facebook/dinov2-small, -base and -large (Apache-2.0).

What is constant is folded into its neighbours: the norms' scales and shifts, the scale of the attention, the layer
scales, and query, key and value into one product. The last block computes the one token that is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers, ops
from PIL import Image

from sle_gan.errors import UserError
from sle_gan.features.base import FeatureExtractor, compiled, digest, plain_keras
from sle_gan.features.safetensors_file import read_safetensors

FILE = "model.safetensors"
_SIDE, _PATCH, _TRAINED = 224, 14, 37  # pixels, pixels, and patches along a side of the 518 px it was trained at
_PATCHES = _SIDE // _PATCH
_HEAD = 64  # channels of one head of the attention
_EPSILON = 1e-6  # of every LayerNorm
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)


class _Size(NamedTuple):
    repository: str
    width: int
    blocks: int


SIZES = {
    "s": _Size("facebook/dinov2-small", 384, 12),
    "b": _Size("facebook/dinov2-base", 768, 12),
    "l": _Size("facebook/dinov2-large", 1024, 24),
}


class DinoV2Extractor(FeatureExtractor):
    """The class token after the last norm: 384, 768 or 1024 per image.

    weights: `model.safetensors` of one of the repositories in `SIZES`, or None for a download.
    size: "s", "b" or "l".
    """

    side = _SIDE

    def __init__(self, weights: Path | None = None, size: str = "s") -> None:
        self.name = f"dinov2_{size}"
        self.dimension = SIZES[size].width
        tensors = _read(weights if weights is not None else _downloaded(size), size)
        with plain_keras():
            network = build_network(size)
            load(network, tensors, size)
            features = layers.Flatten()(network.output)
            self._network = compiled(keras.Model(network.input, features, name=self.name))
        weights_digest = digest(tensors[name] for name in _shapes(size))
        self.version = f"dinov2-vit{size}14/class-token/pillow-bicubic-{_SIDE}/{weights_digest}"

    @property
    def describe(self) -> str:
        return f"bicubic to {_SIDE}x{_SIDE} (Pillow, antialiased, on uint8), then ImageNet's mean and deviation"

    def prepare(self, image: np.ndarray) -> np.ndarray:
        resized = Image.fromarray(image).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
        values = np.asarray(resized, np.float32)
        values /= 255
        values -= _MEAN
        values /= _DEVIATION
        return values

    def _forward(self, images: np.ndarray) -> np.ndarray:
        return self._network.predict_on_batch(images)


def build_network(size: str, class_token_only: bool = True) -> keras.Model:
    """Prepared images (B, 224, 224, 3) to tokens after the last norm, (B, 1, D), or (B, 257, D) for all of them.

    The layers `positions` and `block_0` to `block_N` put out what the reference's embedding and blocks do.
    """
    _, width, blocks = SIZES[size]
    image = keras.Input((_SIDE, _SIDE, 3))
    x = _zeros(layers.Conv2D, "patches", width, _PATCH, _PATCH)(image)
    x = layers.Reshape((_PATCHES**2, width))(x)
    # One row of zeros, to which the class token is added with the positions.
    x = _Positions(name="positions")(layers.ZeroPadding1D((1, 0))(x))  # (B, 257, D)
    for i in range(blocks):
        x = _block(x, i, width, queries=1 if class_token_only and i == blocks - 1 else None)
    x = layers.LayerNormalization(epsilon=_EPSILON, name="norm")(x)
    return keras.Model(image, x)


class _Positions(layers.Layer):
    """Adds an array of constants to the tokens."""

    def build(self, input_shape: Any) -> None:
        self.positions = self.add_weight(input_shape[1:], "zeros", name="positions")

    def call(self, x: Any) -> Any:
        return x + self.positions


def _block(x: Any, i: int, width: int, queries: int | None) -> Any:
    """One block; with `queries`, only so many tokens from the front come out."""
    normed = _normed(x)
    qkv = _zeros(layers.Dense, f"qkv_{i}", 3 * width)(normed)
    qkv = ops.transpose(ops.reshape(qkv, (-1, x.shape[1], 3, width // _HEAD, _HEAD)), (2, 0, 3, 1, 4))
    q, k, v = qkv[0][:, :, :queries], qkv[1], qkv[2]  # (B, heads, tokens, 64)
    attention = ops.softmax(ops.matmul(q, ops.transpose(k, (0, 1, 3, 2))), axis=-1)
    mixed = ops.transpose(ops.matmul(attention, v), (0, 2, 1, 3))
    mixed = ops.reshape(mixed, (-1, queries or x.shape[1], width))
    x = layers.Add()([x[:, :queries], _zeros(layers.Dense, f"project_{i}", width)(mixed)])
    hidden = _zeros(layers.Dense, f"widen_{i}", 4 * width)(_normed(x))
    hidden = ops.gelu(hidden, approximate=False)  # by erf: the approximation costs 1e-3
    return layers.Add(name=f"block_{i}")([x, _zeros(layers.Dense, f"narrow_{i}", width)(hidden)])


def _normed(x: Any) -> Any:
    return layers.LayerNormalization(epsilon=_EPSILON, center=False, scale=False)(x)


def _zeros(kind: Any, name: str, *arguments: Any) -> Any:
    # Zeros, for every kernel is about to be replaced.
    return kind(*arguments, kernel_initializer="zeros", name=name)


def position_map(positions: np.ndarray) -> np.ndarray:
    """The (37, 37, D) positions it was trained with, on the 16x16 patches of 224 pixels.

    Cubic with a = -0.75, edges repeated, no antialiasing. The reference divides by a scale of (16 + 0.1) / 37, not
    16 / 37, and its coordinates with it; without the 0.1, features move by 4 %.
    """
    centres = (np.arange(_PATCHES) + 0.5) * _TRAINED / (_PATCHES + 0.1) - 0.5
    weights = np.zeros((_PATCHES, _TRAINED))
    first = np.floor(centres).astype(int)
    for tap in range(-1, 3):
        places = np.clip(first + tap, 0, _TRAINED - 1)
        np.add.at(weights, (np.arange(_PATCHES), places), _cubic(np.abs(centres - first - tap)))
    return np.einsum("iy,jx,yxd->ijd", weights, weights, positions.astype(np.float64), optimize=True)


def _cubic(distance: np.ndarray, a: float = -0.75) -> np.ndarray:
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = a * (((distance - 5) * distance + 8) * distance - 4)
    return np.where(distance <= 1, near, far)


def load(network: keras.Model, tensors: Mapping[str, np.ndarray], size: str) -> None:
    """Puts the checked tensors into the network's layers, all constants folded in, in float64."""
    for name, arrays in _folded(tensors, size):
        network.get_layer(name).set_weights(arrays)


def _folded(tensors: Mapping[str, np.ndarray], size: str) -> Iterator[tuple[str, list[np.ndarray]]]:
    def get(name: str) -> np.ndarray:
        return np.asarray(tensors[name], np.float64)

    def dense(name: str) -> tuple[np.ndarray, np.ndarray]:
        return get(f"{name}.weight").T, get(f"{name}.bias")

    def after_norm(norm: str, kernel: np.ndarray, bias: np.ndarray) -> list[np.ndarray]:
        return [get(f"{norm}.weight")[:, None] * kernel, bias + get(f"{norm}.bias") @ kernel]

    _, width, blocks = SIZES[size]
    embeddings = "embeddings.patch_embeddings.projection"
    yield "patches", [get(f"{embeddings}.weight").transpose(2, 3, 1, 0), get(f"{embeddings}.bias")]
    positions = get("embeddings.position_embeddings")[0]
    places = position_map(positions[1:].reshape(_TRAINED, _TRAINED, width)).reshape(-1, width)
    yield "positions", [np.concatenate([get("embeddings.cls_token")[0] + positions[:1], places])]
    for i in range(blocks):
        layer = f"encoder.layer.{i}"
        query, key, value = (dense(f"{layer}.attention.attention.{part}") for part in ("query", "key", "value"))
        query = (query[0] * _HEAD**-0.5, query[1] * _HEAD**-0.5)
        kernel, bias = (np.concatenate(parts, axis=-1) for parts in zip(query, key, value))
        yield f"qkv_{i}", after_norm(f"{layer}.norm1", kernel, bias)
        scale = get(f"{layer}.layer_scale1.lambda1")
        yield f"project_{i}", [array * scale for array in dense(f"{layer}.attention.output.dense")]
        yield f"widen_{i}", after_norm(f"{layer}.norm2", *dense(f"{layer}.mlp.fc1"))
        scale = get(f"{layer}.layer_scale2.lambda1")
        yield f"narrow_{i}", [array * scale for array in dense(f"{layer}.mlp.fc2")]
    yield "norm", [get("layernorm.weight"), get("layernorm.bias")]


def _shapes(size: str) -> dict[str, tuple[int, ...]]:
    """All tensors that are used, in the order of the digest."""
    _, width, blocks = SIZES[size]
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.cls_token": (1, 1, width),
        "embeddings.position_embeddings": (1, 1 + _TRAINED**2, width),
        "embeddings.patch_embeddings.projection.weight": (width, 3, _PATCH, _PATCH),
        "embeddings.patch_embeddings.projection.bias": (width,),
    }
    for i in range(blocks):
        layer = f"encoder.layer.{i}"
        squares = (*(f"attention.attention.{part}" for part in ("query", "key", "value")), "attention.output.dense")
        kernels = dict.fromkeys(squares, (width, width))
        kernels |= {"mlp.fc1": (4 * width, width), "mlp.fc2": (width, 4 * width)}
        for name, shape in kernels.items():
            shapes |= {f"{layer}.{name}.weight": shape, f"{layer}.{name}.bias": shape[:1]}
        for norm in ("norm1", "norm2"):
            shapes |= {f"{layer}.{norm}.weight": (width,), f"{layer}.{norm}.bias": (width,)}
        shapes |= {f"{layer}.layer_scale{k}.lambda1": (width,) for k in (1, 2)}
    return {**shapes, "layernorm.weight": (width,), "layernorm.bias": (width,)}


def _read(path: Path, size: str) -> dict[str, np.ndarray]:
    tensors = read_safetensors(path)
    expected = f"expected {FILE} of {SIZES[size].repository}"
    if "embeddings.register_tokens" in tensors:
        raise UserError(f"{path} holds a DINOv2 with registers; {expected}")
    for name, shape in _shapes(size).items():
        received = f"of shape {tensors[name].shape}" if name in tensors else "missing"
        if name not in tensors or tensors[name].shape != shape:
            raise UserError(
                f"{path} does not hold dinov2_{size}: {name} is {received}, not of shape {shape}; {expected}"
            )
    return tensors


def _downloaded(size: str) -> Path:
    """The file from the hub, or from the cache that the hub's client keeps."""
    from sle_gan.hub import repository_file

    repository = SIZES[size].repository
    try:
        return repository_file(repository, FILE)
    except UserError as error:
        raise UserError(
            f"no weights of dinov2_{size}: {error}. Three ways to provide them: (1) pip install 'sle-gan[hub]' and go "
            f"online once; (2) give --features-weights PATH (sle-gan train: --fid-features-weights PATH), where PATH "
            f"is {FILE} of {repository}; (3) set SLE_GAN_FEATURES_WEIGHTS to such a path"
        ) from error


EXTRACTOR = DinoV2Extractor
