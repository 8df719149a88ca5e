"""save_pretrained, push_to_hub."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from sle_gan import generation, weights
from sle_gan.config import DEFAULT_MODEL
from sle_gan.errors import UserError, printable
from sle_gan.gans import find_network
from sle_gan.hub.card import SAMPLE_ROWS, Shared, checked_license, make_card
from sle_gan.hub.loading import load_generator
from sle_gan.hub.model_files import CARD, GENERATOR, LIBRARY, SAMPLES, is_ours, sha256
from sle_gan.hub.opening import open_model
from sle_gan.hub.shared_folder import check_target, is_shared
from sle_gan.hub.training_facts import RunFiles, TrainingFacts, is_run_like, read_training, run_files
from sle_gan.hub.upload import Destination, Pushed
from sle_gan.models.network import Network
from sle_gan.pictures import labelled_rows, make_grid, save_png, to_pillow
from sle_gan.storage.json_objects import CONFIG

SAMPLE_SEEDS = range(16)
CLASS_COLUMNS = 8  # pictures of each class in the grid of a generator of classes
SAMPLE_PIXELS = 256  # side of one picture in the grid, at most


def save_pretrained(
    source: Network | str | Path,
    folder: str | Path,
    *,
    license: str | None = None,
    last: bool = False,
    discriminator: bool = False,
    half: bool = False,
    override: bool = False,
    repository: str | None = None,
) -> Path:
    """Writes a folder that others can use: config.json, weights, a grid of samples, and a model card.

    Nothing in it comes from the training pictures but what the networks learned: the grid is generated, and
    settings that hold a path or a name are left out.

    Args:
        source: a training run's folder, a generator, or another model that `sle_gan.hub.open_model` opens.
        folder: to be made; it may exist if it is empty.
        license: identifier of the weights' licence, such as "cc-by-4.0".
        last: of a run with scores, share the newest generator and not the best one.
        discriminator: share the discriminator too, so that others can train on. It knows more of the training
            pictures than the generator does: it has decoders that draw them.
        half: store the kernels in float16, in half the bytes. They are computed with in float32.
        override: replace a shared model that is in the folder.
        repository: `user/name`, for the card's commands.

    Returns:
        The folder.

    Raises:
        UserError: if the source cannot be shared or the folder may not be written.

    Example:
        >>> import sle_gan
        >>> generator = sle_gan.Generator(64, width=8, latent=16)
        >>> folder = sle_gan.save_pretrained(generator, "shared/flowers", license="cc-by-4.0")
        >>> sorted(path.name for path in folder.iterdir())
        ['README.md', 'config.json', 'generator_weights.h5', 'samples.png']
    """
    folder, license = Path(folder), checked_license(license)
    check_target(folder, override)
    files = None if isinstance(source, Network) else _run_of(Path(source), last, discriminator)
    if files is None and discriminator:
        raise UserError("a discriminator can be shared of a training run only")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as made:
            _copy_weights(source, files, Path(made))
            if half:
                _halve(Path(made))
            _describe(Path(made), read_training(files) if files else None, license, repository, folder.name)
            _move(Path(made), folder)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror or error}") from error
    return folder


def _copy_weights(source: Network | str | Path, files: RunFiles | None, folder: Path) -> None:
    if isinstance(source, Network):
        source.save_weights(folder / GENERATOR)
    elif files is None:
        load_generator(source).save_weights(folder / GENERATOR)
    else:
        for name, path in files.weights.items():
            shutil.copyfile(path, folder / name)


def _halve(folder: Path) -> None:
    """Before samples are drawn: they show what is shared."""
    for path in sorted(folder.iterdir()):
        network, architecture, arrays = weights.read(path)
        weights.save(path, network, architecture, weights.halved(arrays))


def push_to_hub(
    source: Network | str | Path,
    repository: str,
    *,
    private: bool = False,
    license: str | None = None,
    last: bool = False,
    discriminator: bool = False,
    half: bool = False,
) -> Pushed:
    """Shares a generator as a repository on a hub ($HF_ENDPOINT, default huggingface.co).

    Args:
        source: as in `save_pretrained`; or a folder that it made, which goes as it is, card and all.
        repository: `user/name`; made if it is not there.
        private: visible to you alone.
        license, last, discriminator, half: as in `save_pretrained`; for a ready folder they have no meaning.

    Returns:
        The repository's address, the commit's hash, and whether it is private.

    Raises:
        UserError: as `save_pretrained`; without network or token; or if another model is there.

    Example:
        >>> import sle_gan
        >>> generator = sle_gan.Generator(64, width=8, latent=16)
        >>> pushed = sle_gan.push_to_hub(generator, "user/flowers", license="cc-by-4.0")
        >>> pushed.private
        False
    """
    destination = Destination(repository, private)
    if not isinstance(source, Network) and is_shared(Path(source)):
        return destination.push(Path(source))
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / repository.rpartition("/")[2]
        save_pretrained(
            source,
            folder,
            license=license,
            last=last,
            discriminator=discriminator,
            half=half,
            repository=repository,
        )
        return destination.push(folder)


def _run_of(path: Path, last: bool, discriminator: bool) -> RunFiles | None:
    """The files of a run; None for other models, of which the generator alone is shared."""
    if is_shared(path):
        raise UserError(f"{path} is a shared model already: copy the folder, or push it as it is")
    if path.is_dir() and is_run_like(path):
        return run_files(path, last, discriminator)
    open_model(path).generator()  # refuses what is no model before anything is made
    return None


def _describe(folder: Path, training: TrainingFacts | None, license: str, repository: str | None, title: str) -> None:
    """Adds samples, config.json and card to the weights in a folder."""
    from sle_gan import __version__

    names = sorted((path.name for path in folder.iterdir()), key=lambda name: (not name.startswith("generator"), name))
    networks = {name: weights.read(folder / name) for name in names}
    network, architecture, _ = networks[names[0]]
    model = training.model if training else find_network(network) or DEFAULT_MODEL
    parameters = {name: sum(array.size for array in arrays.values()) for name, (_, _, arrays) in networks.items()}
    if GENERATOR in names:
        generator = load_generator(folder / GENERATOR)
        samples = _save_samples(generator, folder / SAMPLES)
    else:
        samples = 0
    config = {
        "library_name": LIBRARY,
        "library_version": __version__,
        "model_type": model,
        "network": network,
        "architecture": architecture,
        "files": {
            name: {"network": kind, "architecture": made_of, "sha256": sha256(folder / name)}
            for name, (kind, made_of, _) in networks.items()
        },
        "training": training and {"step": training.step, "pictures": training.pictures, **training.settings},
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    shared = Shared(
        title=repository.rpartition("/")[2] if repository else printable(title),
        model=model,
        architecture=architecture,
        parameters=parameters,
        samples=samples,
        license=license,
        repository=repository,
        training=training,
    )
    (folder / CARD).write_text(make_card(shared), encoding="utf-8")


def _save_samples(generator: Any, path: Path) -> int:
    """Draws the grid with the very weights that are shared; returns how many pictures it has.

    Of a generator of classes it has a row for each, of the same seeds.
    """
    classes = getattr(generator, "classes", ())
    shown = generation.spread_classes(classes, SAMPLE_ROWS) if classes else []
    seeds = [seed for _ in shown for seed in range(CLASS_COLUMNS)] or list(SAMPLE_SEEDS)
    labels = [label for label in shown for _ in range(CLASS_COLUMNS)] or None
    images = []
    with tqdm(total=len(seeds), desc="Samples", unit="img", delay=2, leave=False) as bar:
        for batch in generation.generate_images(generator, seeds, labels=labels):
            images.extend(_reduced(image) for image in batch)
            bar.update(len(batch))
    grid = np.stack(images)
    names = [classes[label] for label in shown]
    save_png(labelled_rows(grid, names, CLASS_COLUMNS) if shown else make_grid(grid), path)
    return len(seeds)


def _reduced(image: np.ndarray) -> np.ndarray:
    """uint8 (H, W, C), at most `SAMPLE_PIXELS` long: a card is looked at, not measured."""
    height, width, channels = image.shape
    if height <= SAMPLE_PIXELS >= width:
        return image
    height, width = (max(1, round(side * SAMPLE_PIXELS / max(height, width))) for side in (height, width))
    return np.asarray(to_pillow(image).resize((width, height))).reshape(height, width, channels)


def _move(made: Path, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name in _names(folder):
        if (is_ours(name) or name == SAMPLES) and not (made / name).exists():
            (folder / name).unlink()  # of the model that is replaced
    for name in _names(made):
        (made / name).replace(folder / name)


def _names(folder: Path) -> Sequence[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file())
