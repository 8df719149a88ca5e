"""Which GAN's layout a PyTorch file has."""

from __future__ import annotations

import importlib
from pathlib import Path

from sle_gan.convert.checkpoint import TorchCheckpoint
from sle_gan.convert.torch_reader import load_torch_file
from sle_gan.gans import GANS


def read_torch(path: str | Path) -> TorchCheckpoint:
    """Reads a checkpoint of any layout that a GAN knows; its `model` says of which GAN it is.

    Raises:
        UserError: if the file is of none of them, or damaged.
    """
    content = load_torch_file(path)
    layouts = [GANS[name].torch_layout for name in GANS]
    first, *others = [(importlib.import_module(layout.module), layout) for layout in layouts if layout]
    found = (each for each in others if getattr(each[0], each[1].recognises)(content))
    module, layout = next(found, first)  # the first one's reader says what a file of no layout lacks
    return getattr(module, layout.read)(path)
