"""Small pictures inside a page: JPEG as data URIs."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable

from PIL import Image
from tqdm import tqdm

from sle_gan.data import PictureSource, quiet_pillow, read_reduced
from sle_gan.data.parallel import ordered_map, worker_count

HEIGHT = 132  # shown at 96 and less
_WIDEST = 3 * HEIGHT


def thumbnails(source: PictureSource, names: Iterable[str]) -> dict[str, str]:
    """The data URI of each picture that can still be read, whole, by its name."""
    wanted = sorted(set(names))

    def make(name: str) -> str | None:
        try:
            pixels, _ = read_reduced(source.picture(name), HEIGHT)
        except Exception:  # it could be read a moment ago: a report without it is better than none
            return None
        return _as_uri(Image.fromarray(pixels))

    bar = tqdm(total=len(wanted), desc="Thumbnails", unit="picture", delay=2, leave=False)
    made = {}
    with quiet_pillow(), bar:
        for name, uri in zip(wanted, ordered_map(make, wanted, worker_count(None))):
            bar.update()
            if uri is not None:
                made[name] = uri
    return made


def _as_uri(image: Image.Image) -> str:
    image.thumbnail((_WIDEST, HEIGHT))
    file = io.BytesIO()
    image.save(file, format="JPEG", quality=80, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
