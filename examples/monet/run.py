"""Monet: from 30 paintings and many others to translated photos, by way of a GAN's pictures and a CycleGAN."""

from __future__ import annotations

import io
import shutil
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import recipe

SOURCES = {
    "monets": ("monets", "the few paintings, a folder"),
    "paintings": ("dataset:huggan/wikiart:train", "many paintings, of which those like the few are taken"),
    "photos": ("photos", "the photos to translate"),
    "text": ("", "choose paintings by these words (CLIP) instead of by likeness to the few"),
    "zip-count": ("7000", "how many pictures the zip has; the competition takes 7,000 to 10,000"),
}
ZIP_SIDE = 256  # what the competition asks for
TINY_GAN = ("--resolution", 64, "--width", 8, "--latent", 16, "--batch-size", 4, "--sample-every", 100)
TINY_CYCLEGAN = ("--resolution", 64, "--width", 4, "--blocks", 1, "--batch-size", 2, "--sample-every", 100)

STAGES = {
    "curate": "curate",
    "pretrain": "train",
    "finetune": "train",
    "make": "generate",
    "choose": "curate",
    "gather": "",
    "cyclegan": "train",
    "translate": "translate",
    "score": "evaluate score",
    "zip": "",
}


def main(argv: Sequence[str] | None = None) -> None:
    recipe.add_to_path()
    the = recipe.Recipe("monet", __doc__, SOURCES, STAGES, argv)
    sources = {name: getattr(the.options, name.replace("-", "_")) for name in SOURCES}
    wanted = 12 if the.tiny else recipe.number("--zip-count", sources["zip-count"])
    if the.tiny:
        sources["monets"] = recipe.flowers(the.folder / "monets", 8, 0, seed=1)
        sources["paintings"] = recipe.flowers(the.folder / "paintings", 24, 40, seed=2)
        sources["photos"] = recipe.flowers(the.folder / "photos", 12, 1200, seed=3)
    monets, like, chosen = sources["monets"], the.folder / "like", the.folder / "chosen"
    top = 16 if the.tiny else 3000

    how = ("--text", sources["text"]) if sources["text"] else ("--like", monets)
    # In the tiny form all are kept that have a likeness: nothing but the ranking is asked for.
    easy = ("--max-unlike", "off", "--min-sharpness", "off", "--near", "off", "--min-structure", "off")
    rules = (*easy, "--min-side", 32) if the.tiny else ("--min-side", 256)
    curate = ("--output-folder", the.folder / "curated", *how, "--top", top, *rules)
    the.stage("curate", lambda: curated(the, like, "curate", "--input", sources["paintings"], *curate))

    data = ("--data-folder", like)
    the.stage("pretrain", lambda: the.train("pretrained", "pretrain.json", *data, tiny=(*TINY_GAN, "--steps", 6)))
    start = ("--init-from", the.run("pretrained"), "--mix-in", like)
    tiny = (*TINY_GAN, "--steps", 6, "--mix-in-steps", 4)
    the.stage("finetune", lambda: the.train("monet", "finetune.json", "--data-folder", monets, *start, tiny=tiny))

    made = the.folder / "made"
    count = 16 if the.tiny else 1000
    make = ("generate", "--weights", the.run("monet"), "--count", count, "--output-folder", made)
    the.stage("make", lambda: the.call(*make))
    best = ("--like", monets, "--top", count * 6 // 10, "--output-folder", the.folder / "looked")
    # All that was made has one size, which is no fault; likeness decides.
    the.stage("choose", lambda: curated(the, chosen, "curate", "--input", made, *best, *easy, "--min-contrast", "off"))

    target = the.folder / "target"
    the.stage("gather", lambda: gather(target, [Path(monets), like, chosen]))
    domains = ("--data-folder", sources["photos"], "--target-folder", target)
    tiny = (*TINY_CYCLEGAN, "--steps", 4)
    the.stage("cyclegan", lambda: the.train("photo_to_monet", "cyclegan.json", *domains, tiny=tiny))

    translated, grid = the.folder / "translated", the.folder / "translated.png"
    translate = ("translate", "--weights", the.run("photo_to_monet"), "--direction", "AB")
    out = ("--input", sources["photos"], "--output-folder", translated, "--grid", grid)
    the.stage("translate", lambda: the.call(*translate, *out))
    score = ("evaluate", "score", "--real", monets, "--fake", translated, "--metrics", "mifid")
    read = ("--resolution", 64) if the.tiny else ("--resolution", ZIP_SIDE)
    result = the.folder / "mifid.json"
    the.stage("score", lambda: the.call(*score, *read, "--json", result, *the.scores()))
    archive = the.folder / "images.zip"
    the.stage("zip", lambda: pack(translated, archive, wanted))
    the.finish(the.folder / "curated" / "report.html", the.run("monet") / "samples", grid, result, archive)


def curated(the: recipe.Recipe, kept: Path, *words: object) -> None:
    """Curates anew: what a stage that was stopped left of its kept pictures is removed first."""
    shutil.rmtree(kept, ignore_errors=True)
    the.call(*words, "--keep-in", kept, "--keep-by", "copy", *the.scores())


def gather(target: Path, folders: Sequence[Path]) -> None:
    """One folder with links to the pictures of several."""
    from sle_gan.data import find_images

    files = [folder / name for folder in folders for name in find_images(folder)[0]]
    recipe.link(target, files)
    print(f"{len(files)} pictures in {target}")


def pack(folder: Path, archive: Path, count: int) -> None:
    """The zip for the competition: exactly so many JPEGs of 256 px, and nothing else."""
    from PIL import Image

    files = sorted(folder.glob("*.png"))[:count]
    if len(files) < count:
        sys.exit(f"{folder} has {len(files)} pictures, and {archive.name} takes exactly {count}: translate more photos")
    temporary = archive.with_suffix(".tmp")
    with zipfile.ZipFile(temporary, "w") as packed:  # JPEGs do not get smaller
        for number, file in enumerate(files):
            content = io.BytesIO()
            with Image.open(file) as image:
                square = image.convert("RGB").resize((ZIP_SIDE, ZIP_SIDE), Image.Resampling.LANCZOS)
            square.save(content, format="JPEG", quality=95)
            packed.writestr(f"{number:05d}.jpg", content.getvalue())
    temporary.replace(archive)
    with zipfile.ZipFile(archive) as packed:
        names = packed.namelist()
        for name in names:
            with Image.open(io.BytesIO(packed.read(name))) as image:
                if image.size != (ZIP_SIDE, ZIP_SIDE) or image.format != "JPEG":
                    sys.exit(f"{archive}: {name} is {image.format} of {image.size}")
    print(f"{archive}: {len(names)} JPEGs of {ZIP_SIDE} px, {archive.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
