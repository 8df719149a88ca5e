"""A search whose trials cost nothing, as a program that a test can kill: STORAGE TRIALS SEED.

What is tested is all but the training: claims, locks, the storage, samplers and pruning are the real ones.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
import time
from pathlib import Path

from sle_gan import DCGANConfig
from sle_gan.search.search import Length, Search
from sle_gan.search.space import parse_space
from sle_gan.search.tasks import Objective, Result, Score, Task

BASE = DCGANConfig(data_folder="nowhere", resolution=32, steps=100)
SPACE = {
    "G_learning_rate": {"low": 1e-5, "high": 1e-2, "log": True},
    "batch_size": [16, 32, 64],
    "instance_noise": {"low": 0.0, "high": 0.5},
    "label_smoothing": {"low": 0.0, "high": 0.2, "step": 0.05},
    "latent": {"low": 50, "high": 150},
}


def make_search(seed: int = 0, **length: object) -> Search:
    length = {"rungs": 3, **length}
    return Search(BASE, parse_space(SPACE, BASE, "space"), Objective("fid", sets=1), Length(**length), seed)


def fid(task: Task) -> float:
    """Best at a rate of 4e-4, with a noise that is a function of the settings, and falling from rung to rung."""
    config = task.config
    text = repr((config.G_learning_rate, config.batch_size, config.instance_noise, config.latent, task.rung))
    noise = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "little") / 2**32
    bowl = math.log(config.G_learning_rate / 4e-4) ** 2 + 10 * config.instance_noise + config.batch_size / 64
    return (10 + bowl + noise) / task.share**0.5


def run_fake(task: Task, seconds: float = 0.0) -> Result:
    """Notes in calls.txt that it was called, and in done.txt that it came to its end."""
    with (task.notes.parent / "calls.txt").open("a") as calls:
        calls.write(json.dumps([task.number, task.rung]) + "\n")
    time.sleep(seconds)
    if task.config.G_learning_rate > 7e-3:
        return Result("diverged", reason="training diverged at step 3 (real = nan)")
    return Result("scored", Score(fid(task), 0.1, round(100 * task.share), 1.0))


if __name__ == "__main__":
    storage, trials, seed, seconds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    search = make_search(seed)
    store = search.open(storage, storage.with_suffix(""))
    search.run(store, trials, lambda task: run_fake(task, seconds))
