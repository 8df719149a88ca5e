"""Weights of the FID Inception from any of three files, as one set of tensors.

* TensorFlow's archive inception-2015-12-05.tgz, or classify_image_graph_def.pb out of it;
* pytorch-fid's pt_inception-2015-12-05-6726825d.pth, a port of the same (needs PyTorch to be read);
* our own .h5, into which either is converted once.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sle_gan import hdf5
from sle_gan.atomic_files import new_hdf5
from sle_gan.errors import UserError
from sle_gan.features.download import HashMismatch, download, keras_cache
from sle_gan.features.inception_files import PARTS, SCOPES, read_foreign

FORMAT = "sle_gan.inception-2015-12-05/1"
EPSILON = 1e-3  # of every BatchNorm: `variance_epsilon` in the frozen graph
TORCH_URL = "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth"
TORCH_SHA256_PREFIX = "6726825d"  # part of the file's name, as PyTorch Hub checks it
# No hash was published for the archive; the names and shapes of all 470 tensors are checked instead.
ARCHIVE_URL = "https://storage.googleapis.com/download.tensorflow.org/models/image/imagenet/inception-2015-12-05.tgz"
Tensors = Mapping[str, np.ndarray]
Shapes = Mapping[str, tuple[int, ...]]


def load_tensors(path: Path | None, kernel_shapes: Shapes) -> Tensors:
    """All tensors by `layer/part`, float32, kernels as (height, width, in, out).

    path: one of the three files, or None for the converted copy in the cache, downloaded where missing.
    kernel_shapes: what each layer's kernel has to be.

    Raises:
        UserError: if the file does not fit, or none was given and none can be downloaded.
    """
    if path is not None:
        return _from_file(path, kernel_shapes)
    converted = keras_cache() / "sle_gan_inception_2015_12_05.h5"
    if converted.is_file():
        return read_h5(converted, kernel_shapes)
    tensors = _from_web(kernel_shapes)
    _try_to_write(converted, tensors)
    return tensors


def fold(tensors: Tensors) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Kernel and bias of each convolution with its BatchNorm folded in; in float64, rounded once."""
    folded = {}
    for layer in SCOPES:
        kernel, gamma, beta, mean, variance = (tensors[f"{layer}/{p}"].astype(np.float64) for p in PARTS)
        scale = gamma / np.sqrt(variance + EPSILON)  # (out,), the kernel's last axis
        folded[layer] = ((kernel * scale).astype(np.float32), (beta - mean * scale).astype(np.float32))
    return folded


def tensors_digest(tensors: Tensors) -> str:
    """12 hex digits that differ for different weights, whichever file they came from."""
    digest = hashlib.sha256()
    for layer in SCOPES:
        for part in PARTS:
            digest.update(tensors[f"{layer}/{part}"].astype("<f4").tobytes())
    return digest.hexdigest()[:12]


def write_h5(path: Path, tensors: Tensors) -> None:
    """Our own file: flat names, and a digest against silent damage."""
    with new_hdf5(path) as file:
        file.attrs["format"] = FORMAT
        file.attrs["digest"] = tensors_digest(tensors)
        for name, tensor in tensors.items():
            file[name] = tensor


def read_h5(path: Path, kernel_shapes: Shapes) -> Tensors:
    """Reads what `write_h5` wrote. Raises UserError when it is another file or damaged."""
    with hdf5.opened(path, "not whole; delete it, and it is made anew") as file:
        if hdf5.text(file, "format") != FORMAT:
            raise UserError(f"{path} is an HDF5 file, but not one of the FID Inception that this project wrote")
        found = {f"{layer}/{part}": hdf5.get(file, f"{layer}/{part}") for layer in SCOPES for part in PARTS}
        _check_shapes(path, {name: item.shape for name, item in found.items()}, kernel_shapes)
        tensors = {name: hdf5.numbers(item).astype(np.float32, copy=False) for name, item in found.items()}
        intact = hdf5.text(file, "digest") == tensors_digest(tensors)
    if not intact:
        raise UserError(f"{path} is damaged (its digest differs); delete it, and it is made anew")
    return tensors


def _from_file(path: Path, kernel_shapes: Shapes) -> Tensors:
    """Reads a given file; a foreign one through a converted copy in the cache, keyed by its content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        if file.read(4) == b"\x89HDF":
            return read_h5(path, kernel_shapes)
        file.seek(0)
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    converted = keras_cache() / f"sle_gan_inception_{digest.hexdigest()[:16]}.h5"
    if converted.is_file():
        try:
            return read_h5(converted, kernel_shapes)
        except UserError:
            pass  # a damaged copy, and the original is at hand
    tensors = _checked_shapes(path, read_foreign(path), kernel_shapes)
    _try_to_write(converted, tensors)
    return tensors


def _checked_shapes(path: Path, tensors: Tensors, kernel_shapes: Shapes) -> Tensors:
    _check_shapes(path, {name: tensor.shape for name, tensor in tensors.items()}, kernel_shapes)
    return tensors


def _check_shapes(path: Path, shapes: Shapes, kernel_shapes: Shapes) -> None:
    for layer, shape in kernel_shapes.items():
        for part in PARTS:
            received = shapes[f"{layer}/{part}"]
            expected = shape if part == "kernel" else shape[-1:]
            if received != expected:
                raise UserError(f"{path}: {part} of {layer} has the shape {received}, expected {expected}")


def _try_to_write(path: Path, tensors: Tensors) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_h5(path, tensors)
    except OSError:
        pass  # a home that cannot be written costs only the time of converting again


def _from_web(kernel_shapes: Shapes) -> Tensors:
    """Downloads the port where PyTorch is there to read it (its hash is known), else the archive."""
    sources: list[tuple[str, str | None]] = []
    if importlib.util.find_spec("torch") is not None:
        sources.append((TORCH_URL, TORCH_SHA256_PREFIX))
    if importlib.util.find_spec("tensorboard") is not None:
        sources.append((ARCHIVE_URL, None))
    if not sources:  # before 90 MB are downloaded that nothing here can read
        raise UserError(
            "no Inception weights: to read the file that is downloaded takes the package tensorboard (pip install "
            "tensorboard) or PyTorch; or measure with --features mobilenet"
        )
    reasons = []
    for url, prefix in sources:
        target = keras_cache() / url.rsplit("/", 1)[-1]
        try:
            return _checked_shapes(target, read_foreign(download(url, target, prefix)), kernel_shapes)
        except HashMismatch:
            raise
        except OSError as error:
            reasons.append(f"{url}: {getattr(error, 'reason', None) or error}")
        finally:
            target.unlink(missing_ok=True)  # 90 MB that the converted copy replaces
    raise UserError(
        f"no Inception weights, for the download failed ({'; '.join(reasons)}). Three ways to provide them: "
        "(1) go online once; (2) give --features-weights PATH, where PATH is inception-2015-12-05.tgz, "
        "classify_image_graph_def.pb, pt_inception-2015-12-05-6726825d.pth or an .h5 converted earlier; "
        "(3) set SLE_GAN_FEATURES_WEIGHTS to such a path. Or measure with --features mobilenet"
    )
