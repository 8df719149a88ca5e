"""A run's pictures: those of every domain, read and told of, and whether they are enough to train with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from sle_gan.config import TrainConfig, flag
from sle_gan.config.latent import LatentConfig
from sle_gan.data import Dataset, MixIn, load_dataset
from sle_gan.data.labels import NONE, asks_for_clusters, few_pictures
from sle_gan.errors import UserError, counted
from sle_gan.shapes import SQUARE, as_text, aspect_of, is_same_aspect


def load_pictures(config: TrainConfig, sources: Mapping[str, str] | None = None) -> list[Dataset]:
    """The pictures of every domain, or of `sources`, which are named by their flags; without clusters."""
    datasets: list[Dataset] = []
    for name, folder in (config.folders if sources is None else sources).items():
        dataset = _load_domain(config, name, folder)
        for file in dataset.skipped[:20]:
            print(f"skipped {file}")
        if len(dataset.skipped) > 20:
            print(f"skipped {counted(len(dataset.skipped) - 20, 'more file')}")
        for note in dataset.notes:
            print(f"warning: {note}")
        classes = f", {len(dataset.classes)} classes" if dataset.classes else ""
        print(f"{counted(len(dataset), 'picture')} of {as_text(*config.picture_shape)}{classes} from {folder}")
        if dataset.labels is not None and (warning := few_pictures(dataset.classes, dataset.labels)):
            print(f"warning: {warning}")
        datasets.append(dataset)
    asked, made = getattr(config, "aspect", SQUARE), aspect_of(*config.picture_shape)
    if not is_same_aspect(asked, made):
        print(f"note: --aspect {asked} stands for {made}, the nearest shape that the networks make")
    return datasets


def _load_domain(config: TrainConfig, name: str, folder: str) -> Dataset:
    """One folder's pictures; where there are several folders an error names its flag and the others."""
    try:
        return load_dataset(
            folder,
            config.resolution,
            config.channels,
            cache_folder=config.cache_folder,
            enlarge=config.enlarge,
            value_range=config.value_limits,
            image_column=config.image_column,
            aspect=aspect_of(*config.picture_shape),
            labels=NONE if asks_for_clusters(config.labels) else config.labels,
        )
    except UserError as error:
        others = [f"{other} {path}" for other, path in config.folders.items() if other != name]
        if name not in config.folders:
            raise UserError(f"{name}: {error}") from error
        if not others:
            raise
        raise UserError(f"{name}: {error} (the other domain is {', '.join(others)})") from error


def load_mix_in(config: TrainConfig) -> MixIn | None:
    """The pictures of --mix-in, where a GAN has it and it is given."""
    if not isinstance(config, LatentConfig) or not config.mix_in:
        return None
    (dataset,) = load_pictures(config, config.further_sources)
    return MixIn(dataset.images, config.mix_in_share, config.mix_in_steps, dataset.digest)


def check_batches(config: TrainConfig, datasets: Sequence[Dataset]) -> None:
    """Raises a UserError unless every domain has pictures enough to train with."""
    for folder, dataset in zip(config.folders.values(), datasets):
        if config.fid and len(dataset) < 2:
            raise UserError(
                f"--fid compares sets of pictures, and {folder} has {counted(len(dataset), 'picture')}; "
                "give at least 2, or leave --fid out"
            )
        if config.drop_last and len(dataset) < config.batch_size:
            raise UserError(
                f"--batch-size is {config.batch_size}, but {folder} has {counted(len(dataset), 'picture')} and batches "
                f"with one twice are left out (drop_last); give {len(dataset)} or less, or "
                f"{_without('drop_last', config)}"
            )
    if len(datasets) > 1 and min(map(len, datasets)) < 2:
        counts = [f"{name} {path} has {len(each):,}" for (name, path), each in zip(config.folders.items(), datasets)]
        raise UserError(f"every domain needs at least two pictures: {' and '.join(counts)}")


def _without(name: str, config: TrainConfig) -> str:
    """The flag that turns off a switch that is on."""
    on_by_default = {field.name: field.default for field in dataclasses.fields(config)}[name]
    return f"--no-{flag(name)[2:]}" if on_by_default else f"leave out {flag(name)}"
