"""Pictures in, batches out: folder, archive or data set -> verified uint8 cache -> deterministic batches.

Nothing here knows a backend: only numpy, Pillow, tqdm and the standard library.
"""

from sle_gan.data.dataset import Dataset, cache_place, default_cache_folder, load_dataset, load_images
from sle_gan.data.decode import (
    PixelSettings,
    cover_box,
    decode_failure,
    decode_image,
    decode_whole,
    quiet_pillow,
    read_cut,
    read_reduced,
    read_whole,
)
from sle_gan.data.levels import Levels, describe
from sle_gan.data.loader import BatchLoader
from sle_gan.data.mixing import MixIn
from sle_gan.data.opening import MAX_ASPECT, MAX_PIXELS, MIN_SIDE, stated_size
from sle_gan.data.picture_files import IMAGE_SUFFIXES, SkippedFile, find_images
from sle_gan.data.sampler import batch_indices
from sle_gan.data.sources import PictureSource, check_image_column, check_source, is_source, open_source

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_ASPECT",
    "MAX_PIXELS",
    "MIN_SIDE",
    "BatchLoader",
    "Dataset",
    "Levels",
    "MixIn",
    "PictureSource",
    "PixelSettings",
    "SkippedFile",
    "batch_indices",
    "cache_place",
    "check_image_column",
    "check_source",
    "cover_box",
    "decode_failure",
    "decode_image",
    "decode_whole",
    "default_cache_folder",
    "describe",
    "find_images",
    "is_source",
    "load_dataset",
    "load_images",
    "open_source",
    "quiet_pillow",
    "read_cut",
    "read_reduced",
    "read_whole",
    "stated_size",
]
