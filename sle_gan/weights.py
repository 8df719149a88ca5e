"""Weights files: HDF5 with one dataset per variable, under its path, and the architecture as attributes.

Not Keras's `.weights.h5` layout: that one numbers the layers, so a file says neither what it holds nor
for which network, and it refuses any name but `*.weights.h5`. A flat file is readable with h5py alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from sle_gan.errors import UserError, shown
from sle_gan.kernels import kernels
from sle_gan.storage import hdf5
from sle_gan.storage.atomic import new_hdf5
from sle_gan.storage.json_objects import parse_object

if TYPE_CHECKING:
    import keras

FORMAT = "sle_gan.weights/1"

# The values of a network's variables by their paths, as `variables_by_path` names them.
Arrays = dict[str, np.ndarray]


class HasVariables(Protocol):
    """What has variables, such as a `keras.Model`."""

    @property
    def name(self) -> Any: ...
    @property
    def variables(self) -> Any: ...


def variables_by_path(network: HasVariables) -> dict[str, keras.Variable]:
    """All variables of a network under their paths, without the network's own name in front."""
    named = {variable.path.split("/", 1)[1]: variable for variable in network.variables}
    if len(named) != len(network.variables):
        raise ValueError(f"two variables of {network.name} share a path; give its layers distinct names")
    return named


def arrays_by_path(network: HasVariables) -> dict[str, np.ndarray]:
    """The values of `variables_by_path`."""
    from keras import ops

    return {
        path: np.asarray(ops.convert_to_numpy(variable.value)) for path, variable in variables_by_path(network).items()
    }


def save(filepath: str | Path, network: str, architecture: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Writes a weights file.

    Args:
        network: the name of the network's class.
        architecture: the arguments that make it again, as `Network.architecture` gives them.
        arrays: of all its variables, as `arrays_by_path` gives them.
    """
    with new_hdf5(filepath) as file:
        file.attrs["format"] = FORMAT
        file.attrs["network"] = network
        file.attrs["architecture"] = json.dumps(architecture)
        for path, array in arrays.items():
            file[path] = array


def holds(
    filepath: str | Path, network: str, architecture: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> bool:
    """Whether the file is what `save` writes of these arguments; not so if it is missing or damaged."""
    try:
        name, found_architecture, found = read(filepath)
    except UserError:
        return False
    return (
        (name, found_architecture) == (network, json.loads(json.dumps(architecture)))
        and found.keys() == arrays.keys()
        and all(np.array_equal(found[path], array) for path, array in arrays.items())
    )


def assign(variables: Mapping[str, keras.Variable], arrays: Mapping[str, np.ndarray], complaint: str) -> None:
    """Assigns arrays to variables of the same names and shapes; all of them or none.

    Raises:
        UserError: `complaint`, followed by the first difference with both shapes.
    """
    for path in sorted(variables.keys() | arrays.keys()):
        expected = tuple(variables[path].shape) if path in variables else "nothing"
        received = arrays[path].shape if path in arrays else "nothing"
        if expected != received:
            raise UserError(f"{complaint}: {shown(path)} is {received} in the file, {expected} in the network")
    for path, variable in variables.items():
        variable.assign(arrays[path])


class StoredNetwork(NamedTuple):
    """One network in a file: which one it is, read and checked, and its arrays, still to be read.

    Attributes:
        source: what the file is called in messages.
        network: the name of its class; "" where the file does not say it.
        architecture: the arguments that make it again.
        read: gives its arrays by path. Raises a UserError where the file is damaged.
    """

    source: str | Path
    network: str
    architecture: dict[str, Any]
    read: Callable[[], Arrays]

    def __str__(self) -> str:
        return describe(self.network, self.architecture) if self.network else "a network whose class it does not say"


def open_network(filepath: str | Path) -> StoredNetwork:
    """The network in a weights file, whose arrays are not read yet. Its kernels' shapes are: see `read`.

    Raises:
        UserError: as `read`.
    """
    network, architecture, _ = _read(Path(filepath), with_arrays=False)

    def read_arrays() -> Arrays:
        again, same, arrays = read(filepath)
        if (again, same) != (network, architecture):
            raise UserError(f"{filepath} was replaced while it was read; try again")
        return arrays

    return StoredNetwork(filepath, network, architecture, read_arrays)


def read(filepath: str | Path) -> tuple[str, dict[str, Any], Arrays]:
    """Reads a weights file: the network's class name, its architecture, its arrays by path.

    The file may be a stranger's: before an array is read, the kernels that it holds are compared with those that
    its network has. Whoever builds that network then needs about as much memory as the file has bytes.

    Raises:
        UserError: if there is no such file, it is not one of ours, or it does not hold what it says.
    """
    return _read(Path(filepath), with_arrays=True)


def _read(path: Path, with_arrays: bool) -> tuple[str, dict[str, Any], Arrays]:
    if not path.is_file():
        raise UserError(f"there is no weights file at {path}; expected an .h5 file such as generator_weights.h5")
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty (0 bytes); expected a weights file such as generator_weights.h5")
    with hdf5.opened(path, "no HDF5 file; expected generator_weights.h5") as file:
        found = hdf5.text(file, "format")
        if found != FORMAT:
            raise UserError(
                f"{path} is not a weights file of this project (its format is {shown(found) or 'unknown'!r}, "
                f"expected {FORMAT!r}); use one that sle-gan train or save_weights wrote"
            )
        network = hdf5.text(file, "network")
        try:
            architecture = parse_object(hdf5.text(file, "architecture"))
        except ValueError as error:
            raise UserError(f"{path} is damaged: the architecture that it states is not read: {error}") from error
        datasets = hdf5.datasets(file)
        check_kernels(network, architecture, {key: item.shape for key, item in datasets.items()}, path)
        arrays = {key: _whole(hdf5.numbers(item)) for key, item in datasets.items()} if with_arrays else {}
        return network, architecture, arrays


def _whole(array: np.ndarray) -> np.ndarray:
    """As the networks compute: what a file stores in float16 (`halved`) comes back as float32."""
    return array.astype(np.float32) if array.dtype == np.float16 else array


def halved(arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Kernels in float16, for a file of half the size; vectors, such as a norm's variances, stay as they are.

    Raises:
        UserError: for a value that float16 does not have.
    """
    largest = np.finfo(np.float16).max
    for path, array in arrays.items():
        if array.ndim > 1 and not np.abs(array).max(initial=0) <= largest:
            raise UserError(f"{path} holds values beyond {largest:.0f}, which float16 does not have; share it whole")
    return {path: array.astype(np.float16) if array.ndim > 1 else array for path, array in arrays.items()}


def check_kernels(
    network: str, architecture: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], source: str | Path
) -> None:
    """Compares the kernels in a file with those of the network that it is for; nothing is built.

    Args:
        shapes: of all arrays in the file, by path.
        source: what the file is called in messages.

    Raises:
        UserError: for a network that there is not, and for the first kernel that differs, with both shapes.
    """
    described = describe(network, architecture)
    left = {path for path in shapes if path.endswith("/kernel")}
    try:
        for path, expected in kernels(network, architecture):
            received = shapes.get(path, "nothing")
            if received != expected:
                raise UserError(
                    f"{source} is damaged: it says that it holds {described}, but {path} is {received} in the file, "
                    f"{expected} in the network"
                )
            left.discard(path)
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{source} holds {described}, which this version cannot build: {error}") from error
    if left:
        path = min(left)
        raise UserError(
            f"{source} is damaged: it says that it holds {described}, but {shown(path)} is {shapes[path]} in the file, "
            "nothing in the network"
        )


def describe(name: str, architecture: Mapping[str, Any]) -> str:
    """`Generator(output_resolution=256, width=64, ...)`; what it is made of may be out of a stranger's file."""
    parts = [f"{shown(key)}={shown(value)}" for key, value in islice(architecture.items(), 16)]
    return f"{shown(name)}({', '.join(parts)}{', ...' if len(architecture) > len(parts) else ''})"
