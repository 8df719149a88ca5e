"""Frogs: a DCGAN is pre-trained on a large set, its settings are searched, and it is fine-tuned on a small set."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import recipe

SOURCES = {
    "large": ("dataset:uoft-cs/cifar10:train", "the large set, to pre-train on"),
    "small": ("frogs", "the small set, to fine-tune on"),
}
TINY_NETWORK = ("--resolution", 32, "--width", 8, "--latent", 16)

STAGES = {
    "pretrain": "train",
    "search": "search",
    "best": "search show",
    "finetune_0": "train",
    "finetune_1": "train",
    "finetune_2": "train",
    "score": "evaluate runs",
    "grid": "generate",
}


def main(argv: Sequence[str] | None = None) -> None:
    recipe.add_to_path()
    the = recipe.Recipe("frogs", __doc__, SOURCES, STAGES, argv)
    large, small = the.options.large, the.options.small
    if the.tiny:
        large = recipe.flowers(the.folder / "large", 96, 0, seed=1)
        small = recipe.flowers(the.folder / "small", 24, 480, seed=2)
    data = () if the.tiny else ("--image-column", "img") if large == SOURCES["large"][0] else ()
    pretrain = (*TINY_NETWORK, "--batch-size", 16, "--steps", 12)
    the.stage(
        "pretrain", lambda: the.train("pretrained", "pretrain.json", "--data-folder", large, *data, tiny=pretrain)
    )

    # A search needs a file with all settings: those of the fine-tuning, from the pre-trained run.
    base, storage, best = the.folder / "base.json", the.folder / "search.db", the.folder / "best.json"
    init = {"init_from": str(the.run("pretrained")), "data_folder": small}
    size = {"resolution": 32, "width": 8, "latent": 16, "steps": 8, "sample_every": 100} if the.tiny else {}
    recipe.write_json(base, {**recipe.read_json(the.configs / "finetune.json"), **init, **size})
    length = ("--trials", 2, "--rungs", 1, "--count", 16, "--sets", 2) if the.tiny else ("--trials", 30)
    space = ("--space", the.configs / ("space_tiny.json" if the.tiny else "space.json"))
    search = ("--config", base, "--storage", storage, "--engine", the.options.engine)
    the.stage("search", lambda: the.call("search", *search, *space, *length, *the.scores()))
    show = ("search", "show", "--storage", storage, "--plot", the.folder / "search.png", "--best", best)
    the.stage("best", lambda: the.call(*show))

    names = [f"frogs_seed{seed}" for seed in range(2 if the.tiny else 3)]
    for seed, name in enumerate(names):
        the.stage(f"finetune_{seed}", lambda seed=seed, name=name: the.train(name, best, "--seed", seed))
    sets = ("--count", 24, "--seeds", 2) if the.tiny else ("--count", 2000, "--seeds", 3)
    table = ("evaluate", "runs", *(the.run(name) for name in names), *sets, *the.scores())
    plot, scores = the.folder / "scores.png", the.folder / "scores.json"
    the.stage("score", lambda: the.call(*table, "--plot", plot, "--json", scores))
    grid = the.folder / "frogs.png"
    the.stage("grid", lambda: the.call("generate", "--weights", the.run(names[0]), "--count", 64, "--grid", grid))
    the.finish(the.folder / "search.png", plot, grid)


if __name__ == "__main__":
    main()
