"""What `--fid` costs a run: scoring pictures with Inception's features, and the steps between two scores.

    python benchmarks/fid.py --count 2048

Inception's weights are random numbers here, which changes no time: nothing is downloaded. Scored is an untrained
generator of 256 px, the real side's statistics taken from the cache; the steps are those of 64 px.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import training


def random_inception(path: Path) -> None:
    """A file of Inception's weights, as our reader takes it."""
    import keras

    from sle_gan.features.inception import build_network
    from sle_gan.features.inception_files import PARTS
    from sle_gan.features.inception_weights import write_h5

    random = np.random.default_rng(0)
    tensors = {}
    for layer in build_network().layers:
        if isinstance(layer, keras.layers.Conv2D):
            shape = layer.kernel.shape
            parts = (
                random.normal(0, (2 / np.prod(shape[:3])) ** 0.5, shape),
                *np.array([[1], [0], [0], [1]]) + np.zeros(shape[3]),
            )
            tensors |= {f"{layer.name}/{name}": part.astype(np.float32) for name, part in zip(PARTS, parts)}
    write_h5(path, tensors)


def scoring_s(count: int, real: int, resolution: int, batch_size: int) -> tuple[float, float]:
    """Seconds for the real side, once, and for each score after it."""
    from sle_gan import Generator, generation
    from sle_gan.features import load_extractor
    from sle_gan.metrics import Scorer

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        random_inception(folder / "inception.h5")
        pictures = np.random.default_rng(0).integers(0, 256, (real, resolution, resolution, 3), dtype=np.uint8)
        extractor = load_extractor("inception", folder / "inception.h5")
        started = time.perf_counter()
        scorer = Scorer(extractor, pictures, "drawn", folder, ("fid",))
        real_s = time.perf_counter() - started
        generator = Generator(resolution).fold()
        times = []
        for _ in range(2):
            started = time.perf_counter()
            scorer.score(generation.generate_images(generator, range(count)), step=0, images="drawn")
            times.append(time.perf_counter() - started)
        return real_s, times[-1]  # the first one compiles


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2048)
    parser.add_argument("--real", type=int, default=1360, help="pictures of the real side")
    parser.add_argument("--steps", type=int, default=10, help="timed, for the time of 1,000")
    arguments = parser.parse_args()
    settings = argparse.Namespace(model="slegan", resolution=64, batch_size=8, width=64, precision="float32")
    prepared = training.prepare(settings)
    times = []
    for k in range(arguments.steps + 1):
        started = time.perf_counter()
        prepared.step([prepared.batch], k)
        times.append(time.perf_counter() - started)
    interval = 1000 * statistics.median(times[1:])
    real, score = scoring_s(arguments.count, arguments.real, 256, 8)
    print(f"1,000 steps at 64 px: {interval:.0f} s; the real side, once: {real:.0f} s")
    print(f"{arguments.count:,} pictures of 256 px made and scored: {score:.0f} s, {score / interval:.0%} of the steps")


if __name__ == "__main__":
    main()
