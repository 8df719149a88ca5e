"""NFT: two collections, a CycleGAN between them, and the composition B = T(GAN(A))."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import recipe

SOURCES = {
    "a": ("dataset:huggingnft/cryptopunks:train", "collection A, which a GAN learns to make"),
    "b": ("dataset:huggingnft/boredapeyachtclub:train", "collection B, to which A is translated"),
}
TINY_GAN = (
    *("--resolution", 64, "--latent", 16, "--fmap-max", 16, "--attn-res-layers", "16", "--batch-size", 4),
    *("--steps", 6, "--sample-every", 100),
)
TINY_CYCLEGAN = ("--resolution", 64, "--width", 4, "--blocks", 1, "--batch-size", 2, "--steps", 4)

STAGES = {
    "gan": "train",
    "cyclegan": "train",
    "compose": "translate",
    "score": "evaluate score",
}


def main(argv: Sequence[str] | None = None) -> None:
    recipe.add_to_path()
    the = recipe.Recipe("nft", __doc__, SOURCES, STAGES, argv)
    a, b = the.options.a, the.options.b
    if the.tiny:
        a, b = str(the.folder / "a"), str(the.folder / "b")
        the.stage("collections", lambda: make_collections(Path(a), Path(b)))
    the.stage("gan", lambda: the.train("gan_a", "gan.json", "--data-folder", a, tiny=TINY_GAN))
    domains = ("--data-folder", a, "--target-folder", b)
    the.stage("cyclegan", lambda: the.train("a_to_b", "cyclegan.json", *domains, tiny=TINY_CYCLEGAN))

    composed, grid = the.folder / "composed", the.folder / "composed.png"
    count = 16 if the.tiny else 256
    translate = ("translate", "--weights", the.run("a_to_b"), "--direction", "AB", "--source", the.run("gan_a"))
    out = ("--count", count, "--output-folder", composed, "--grid", grid)
    the.stage("compose", lambda: the.call(*translate, *out))
    score = ("evaluate", "score", "--real", b, "--fake", composed, "--metrics", "fid,kid")
    read = ("--resolution", 64 if the.tiny else 256, "--enlarge", "pixels")
    result = the.folder / "scores.json"
    the.stage("score", lambda: the.call(*score, *read, "--json", result, *the.scores()))
    the.finish(the.run("gan_a") / "samples", the.run("a_to_b") / "samples", grid, result)


def make_collections(a: Path, b: Path) -> None:
    """Punks where they are beside the checkout, else drawn flowers; and the same kind of thing in false colours."""
    from PIL import Image, ImageOps

    sheet = recipe.SHARED / "cryptopunks" / "punks.png"
    a.mkdir(parents=True, exist_ok=True)
    b.mkdir(parents=True, exist_ok=True)
    if sheet.exists():
        with Image.open(sheet) as punks:
            tiles = [punks.crop((24 * i, 0, 24 * i + 24, 24)).convert("RGBA") for i in range(48)]
        pictures = []
        for tile in tiles:
            ground = Image.new("RGBA", tile.size, (99, 133, 150, 255))
            pictures.append(Image.alpha_composite(ground, tile).convert("RGB"))
    else:
        drawn = sorted(recipe.draw(a.with_name("drawn"), 48, 64, seed=1).glob("*.png"))
        pictures = [Image.open(file).convert("RGB") for file in drawn]
    for number, picture in enumerate(pictures[:24]):
        picture.save(a / f"{number:03d}.png")
    for number, picture in enumerate(pictures[24:]):
        ImageOps.colorize(ImageOps.grayscale(picture), "navy", "gold").save(b / f"{number:03d}.png")


if __name__ == "__main__":
    main()
