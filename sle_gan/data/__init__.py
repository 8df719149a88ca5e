"""Pictures in, batches out: folder -> verified uint8 cache -> deterministic batches; the demo set.

Nothing here knows a backend: only numpy, Pillow, tqdm and the standard library.
"""

from sle_gan.data.dataset import Dataset, default_cache_folder, load_dataset, load_images
from sle_gan.data.decode import MAX_ASPECT, MAX_PIXELS, MIN_SIDE, decode_image
from sle_gan.data.demo import draw_demo_set
from sle_gan.data.files import IMAGE_SUFFIXES, SkippedFile, find_images
from sle_gan.data.loader import BatchLoader
from sle_gan.data.sampler import batch_indices

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_ASPECT",
    "MAX_PIXELS",
    "MIN_SIDE",
    "BatchLoader",
    "Dataset",
    "SkippedFile",
    "batch_indices",
    "decode_image",
    "default_cache_folder",
    "draw_demo_set",
    "find_images",
    "load_dataset",
    "load_images",
]
