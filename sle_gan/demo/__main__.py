"""`make demo`: draws a set of flowers, trains on it for a few minutes, and shows what was learned."""

from __future__ import annotations

from pathlib import Path

from sle_gan.cli import common, generate, train
from sle_gan.demo import draw_demo_set

FOLDER = Path("demo")
PICTURES = FOLDER / "pictures"
# Small networks at a small resolution, with a learning rate and an average for some hundred steps, not for fifty
# thousand. The feature network's weights are a package, so that nothing is asked of a network. At the default weight
# its judges allow one hue at a time in so few steps.
SETTINGS = (
    "--model projected --feature-network efficientnet_lite0 --projected-weight 0.25 "
    "--resolution 64 --width 16 --latent 64 --batch-size 8 --G-learning-rate 5e-4 --D-learning-rate 5e-4 "
    "--ema-decay 0.99 --steps 420 --sample-every 60 --checkpoint-every 210"
)


def main() -> None:
    """Draws, trains (or says how to go on, if the demo was trained before) and writes demo/samples.png."""
    draw_demo_set(PICTURES, resolution=64)
    place = ["--data-folder", str(PICTURES), "--output-folder", str(FOLDER), "--name", "flowers"]
    train.main([*place, *SETTINGS.split(), "--override"])
    weights = str(FOLDER / "flowers" / "generator_weights.h5")
    generate.main(["--weights", weights, "--count", "36", "--grid", str(FOLDER / "samples.png")])
    print(f"open {FOLDER / 'samples.png'}: flowers that nobody drew. What it learned from is in {PICTURES}.")


if __name__ == "__main__":
    common.run(main, "demo")
