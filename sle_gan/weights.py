"""Weights files: HDF5 with one dataset per variable, under its path, and the architecture as attributes.

Not Keras's `.weights.h5` layout: that one numbers the layers, so a file says neither what it holds nor
for which network, and it refuses any name but `*.weights.h5`. A flat file is readable with h5py alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sle_gan.errors import UserError
from sle_gan.files import new_hdf5

if TYPE_CHECKING:
    import keras

    from sle_gan.models.network import Network

FORMAT = "sle_gan.weights/1"


def variables_by_path(network: keras.Model) -> dict[str, keras.Variable]:
    """All variables of a network under their paths, without the network's own name in front."""
    named = {variable.path.split("/", 1)[1]: variable for variable in network.variables}
    if len(named) != len(network.variables):
        raise ValueError(f"two variables of {network.name} share a path; give its layers distinct names")
    return named


def arrays_by_path(network: keras.Model) -> dict[str, np.ndarray]:
    """The values of `variables_by_path`."""
    from keras import ops

    return {
        path: np.asarray(ops.convert_to_numpy(variable.value)) for path, variable in variables_by_path(network).items()
    }


def save(network: Network, filepath: str | Path, arrays: Mapping[str, np.ndarray] | None = None) -> None:
    """Writes the network's variables and architecture.

    Args:
        arrays: by path, to be written in place of the network's own values.
    """
    with new_hdf5(filepath) as file:
        file.attrs["format"] = FORMAT
        file.attrs["network"] = type(network).__name__
        file.attrs["architecture"] = json.dumps(network.architecture)
        for path, array in (arrays_by_path(network) if arrays is None else arrays).items():
            file[path] = array


def holds(filepath: str | Path, network: Network, arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether the file is what `save` writes of these arguments; not so if it is missing or damaged."""
    try:
        name, architecture, found = read(filepath)
    except UserError:
        return False
    same_network = (name, architecture) == (type(network).__name__, json.loads(json.dumps(network.architecture)))
    return (
        same_network
        and found.keys() == arrays.keys()
        and all(np.array_equal(found[path], array) for path, array in arrays.items())
    )


def load(network: Network, filepath: str | Path) -> None:
    """Assigns the file's arrays to the network, if and only if names and shapes are the same.

    Raises:
        UserError: otherwise, naming the first difference and both architectures.
    """
    name, architecture, arrays = read(filepath)
    mine = describe(type(network).__name__, network.architecture)
    theirs = describe(name, architecture)
    assign(variables_by_path(network), arrays, f"{filepath} holds {theirs}, which does not fit {mine}")


def assign(variables: Mapping[str, keras.Variable], arrays: Mapping[str, np.ndarray], complaint: str) -> None:
    """Assigns arrays to variables of the same names and shapes; all of them or none.

    Raises:
        UserError: `complaint`, followed by the first difference with both shapes.
    """
    for path in sorted(variables.keys() | arrays.keys()):
        expected = tuple(variables[path].shape) if path in variables else "nothing"
        received = arrays[path].shape if path in arrays else "nothing"
        if expected != received:
            raise UserError(f"{complaint}: {path} is {received} in the file, {expected} in the network")
    for path, variable in variables.items():
        variable.assign(arrays[path])


def read(filepath: str | Path) -> tuple[str, dict[str, Any], dict[str, np.ndarray]]:
    """Reads a weights file: the network's class name, its architecture, its arrays by path.

    Raises:
        UserError: if there is no such file or it is not one of ours.
    """
    import h5py

    path = Path(filepath)
    if not path.is_file():
        raise UserError(f"there is no weights file at {path}; expected an .h5 file such as generator_weights.h5")
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty (0 bytes); expected a weights file such as generator_weights.h5")
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise UserError(
                    f"{path} is not a weights file of this project (its format is "
                    f"{file.attrs.get('format', 'unknown')!r}, expected {FORMAT!r}); "
                    "use one that train.py or save_weights wrote"
                )
            datasets: dict[str, h5py.Dataset] = {}
            file.visititems(lambda key, item: datasets.update({key: item}) if isinstance(item, h5py.Dataset) else None)
            arrays = {key: _read_plain(item, path) for key, item in datasets.items()}
            return str(file.attrs["network"]), json.loads(str(file.attrs["architecture"])), arrays
    except (OSError, KeyError, json.JSONDecodeError) as error:
        raise UserError(f"{path} is damaged or no HDF5 file ({error}); expected generator_weights.h5") from error


def _read_plain(dataset: Any, path: Path) -> np.ndarray:
    """The array of an HDF5 dataset whose numbers stand in the file as they are, as `save` writes them.

    A file may be a stranger's. HDF5 can also fetch numbers from other files of this machine, and
    unpack a thousand bytes to as many gigabytes.
    """
    if dataset.external or dataset.is_virtual or dataset.id.get_storage_size() != dataset.nbytes:
        raise UserError(f"{path} is not a weights file of this project: {dataset.name} is packed or in another file")
    return dataset[()]


def describe(name: str, architecture: Mapping[str, Any]) -> str:
    """`Generator(output_resolution=256, width=64, ...)`."""
    return f"{name}({', '.join(f'{key}={value}' for key, value in architecture.items())})"
