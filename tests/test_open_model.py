"""One answer to "which model do you mean?": every kind of reference, good or wrong, with every command for models."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sle_gan import CycleGANConfig, SLEGANConfig, weights
from sle_gan.cli import convert, evaluate, evaluate_neighbours, generate, share, translate
from sle_gan.errors import UserError
from sle_gan.hub import Kind, client, open_model, opening
from sle_gan.kernels import kernels
from sle_gan.runs import checkpoints
from sle_gan.training.transfer import source_settings

SLEGAN = {
    "generator": ("Generator", {"output_resolution": 64, "width": 8, "latent": 4, "channels": 3, "tanh": True}),
    "discriminator": ("Discriminator", {"input_resolution": 64, "width": 8, "channels": 3}),
}
TRANSLATOR = ("ResNetGenerator", {"blocks": 1, "width": 4, "channels": 3})
PATCHES = ("PatchDiscriminator", {"width": 4, "channels": 3})
CYCLEGAN = {
    **dict.fromkeys(("generator_AB", "generator_BA"), TRANSLATOR),
    **dict.fromkeys(("discriminator_A", "discriminator_B"), PATCHES),
}
REPOSITORY = "user/flowers@v1"


def zeros(network: str, architecture: dict[str, Any]) -> dict[str, np.ndarray]:
    return {path: np.zeros(shape, np.float32) for path, shape in kernels(network, architecture)}


def save(file: Path, network: str, architecture: dict[str, Any]) -> None:
    weights.save(file, network, architecture, zeros(network, architecture))


def make_run(folder: Path, config: Any, networks: dict[str, Any]) -> None:
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.json").write_text(config.to_json())
    for key, network in networks.items():
        save(folder / f"{key}_weights.h5", *network)
    averages = {f"{key}_ema": network for key, network in networks.items() if key.startswith("generator")}
    arrays = [
        (f"{key}/{path}", array)
        for key, each in {**networks, **averages}.items()
        for path, array in zeros(*each).items()
    ]
    checkpoints.write(checkpoints.path_of(folder / "checkpoints", 7), arrays, {"step": 7})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of each kind of model, and things that are none."""
    place = tmp_path_factory.mktemp("models")
    make_run(place / "run", SLEGANConfig(resolution=64, width=8, latent=4), SLEGAN)
    make_run(place / "cyclegan", CycleGANConfig(resolution=64, width=4, blocks=1), CYCLEGAN)
    (place / "folder").mkdir()
    (place / "folder" / "config.json").write_text(json.dumps({"library_name": "sle-gan"}))
    save(place / "folder" / "generator_weights.h5", *SLEGAN["generator"])
    save(place / "folder" / "heads_weights.h5", *PATCHES)
    (place / "folder" / "best_generator_weights.h5").write_text("not looked at")
    save(place / "any_name.h5", *SLEGAN["generator"])
    save(place / "translator.h5", *TRANSLATOR)
    save(place / "judge.h5", *SLEGAN["discriminator"])
    (place / "text.h5").write_text("text")
    (place / "text.txt").write_text("text")
    (place / "text.npz").write_text("text")
    for name in ("empty", "bert", "new"):
        (place / name).mkdir()
    (place / "bert" / "config.json").write_text('{"architectures": ["BertModel"], "model_type": "bert"}')
    (place / "bert" / "model.safetensors").write_text("0")
    make_run(place / "fresh", SLEGANConfig(resolution=64), {})
    (place / "fresh" / "checkpoints" / "step_00000007.npz").unlink()
    return place


class _Begun(Exception):
    """What was given is accepted: the work began."""


@pytest.fixture
def commands(
    place: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, Callable[[str], None]]]:
    """Commands that take a generator, by name; each returns when it would start an engine, or read the arrays."""

    def start(engine: str) -> None:
        raise _Begun(engine)

    for module in (generate, evaluate, evaluate_neighbours, translate, share):
        monkeypatch.setattr(module, "import_engine_to_compute", start)
    # The hub: one repository, which is the folder.
    monkeypatch.setattr(opening, "local_folder", lambda name, revision: downloaded(place, name, revision))

    def begins(main: Callable[[list[str]], None], *arguments: object) -> Callable[[str], None]:
        def run(reference: str) -> None:
            with pytest.raises(_Begun):
                main([*map(str, arguments), reference])

        return run

    grid = ("--grid", tmp_path / "grid.png")
    translator = ("--weights", place / "translator.h5")
    yield {
        "generate --weights": begins(generate.main, *grid, "--weights"),
        "generate --model": begins(generate.main, *grid, "--model"),
        "evaluate score --fake": begins(evaluate.main, "score", "--real", pictures, "--fake"),
        "evaluate neighbours --fake": begins(
            evaluate.main, "neighbours", "--real", pictures, "--output", tmp_path / "a.png", "--fake"
        ),
        "translate --source": begins(translate.main, *translator, *grid, "--source"),
        "share --weights": begins(share.main, "--folder", tmp_path / "shared", "--weights"),
    }
    assert not list(tmp_path.iterdir())


def downloaded(place: Path, name: str, revision: str | None) -> Path:
    if (name, revision) != ("user/flowers", "v1"):
        raise client.Missing(f"the hub has no model repository {name}")
    return place / "folder"


GENERATORS = ("run", "run/checkpoints/step_00000007.npz", "folder", "folder/generator_weights.h5", "any_name.h5")


@pytest.mark.parametrize("reference", (*GENERATORS, REPOSITORY))
def test_every_command_takes_every_generator(
    reference: str, place: Path, commands: dict[str, Callable[[str], None]]
) -> None:
    for run in commands.values():
        run(reference if reference == REPOSITORY else str(place / reference))


NOT_GENERATORS = {
    "judge.h5": "holds Discriminator(.*), not a generator",
    "translator.h5": "holds ResNetGenerator(.*), not a generator .*; sle-gan translate takes it",
    "cyclegan": "generator_BA_weights.h5 but no generator_weights.h5, .*: translate pictures with sle-gan translate",
    "cyclegan/checkpoints/step_00000007.npz": "holds generator_AB, .* but no generator that makes pictures",
    "fresh": "holds its settings but no generator_weights.h5: that comes with the first checkpoint",
    "nowhere.h5": "there is no such file or folder; expected a run, .* or a repository's name",
    "run/nowhere": "there is no such file or folder; expected a run",
    "text.h5": "text.h5 is damaged or no HDF5 file",
    "text.txt": "text.txt is damaged or no HDF5 file",
    "bert": "is neither a training run nor a model's folder: it holds a bert of Transformers",
    "user/roses": "there is no such file or folder, and as a repository: the hub has no model repository user/roses",
    "user/flowers": "there is no such file or folder, and as a repository",
}


@pytest.mark.parametrize("reference", NOT_GENERATORS)
def test_every_command_says_the_same_about_what_is_no_generator(
    reference: str, place: Path, commands: dict[str, Callable[[str], None]]
) -> None:
    full = reference if reference.startswith("user/") else str(place / reference)
    said = set()
    for name, run in commands.items():
        if name.startswith("evaluate") and reference == "bert":
            continue  # a folder is of pictures there, unless a model is in it
        with pytest.raises(UserError, match=NOT_GENERATORS[reference]) as caught:
            run(full)
        said.add(str(caught.value).removeprefix(f"{name.rpartition(' ')[2]} {full}"))
    assert len(said) == 1


@pytest.mark.parametrize(
    ("reference", "direction"),
    [
        ("cyclegan", None),
        ("cyclegan", "BA"),
        ("cyclegan/generator_BA_weights.h5", None),
        ("cyclegan/generator_BA_weights.h5", "BA"),
        ("cyclegan/checkpoints/step_00000007.npz", "BA"),
        ("translator.h5", "AB"),
    ],
)
def test_translators(reference: str, direction: str | None, place: Path) -> None:
    model = open_model(place / reference)
    assert model.translator(direction).network == "ResNetGenerator"
    if model.kind is Kind.RUN:
        assert model.translator(direction).source == place / reference / f"generator_{direction or 'AB'}_weights.h5"


def test_what_is_no_translator(place: Path) -> None:
    for reference, direction, words in (
        ("run", None, "--weights .*run is a training run without generator_AB_weights.h5; expected .*cyclegan"),
        ("folder", "BA", "is a folder of weights files without generator_BA_weights.h5"),
        ("run/checkpoints/step_00000007.npz", None, "is a checkpoint of a training run without generator_AB;"),
        ("any_name.h5", None, r"holds Generator\(.*\), not a CycleGAN's generator"),
        ("cyclegan/generator_BA_weights.h5", "AB", "goes the other way than AB"),
    ):
        with pytest.raises(UserError, match=words):
            open_model(place / reference, "--weights").translator(direction)


INIT_FROM = {
    "run": ("slegan", {"generator", "discriminator", "generator_ema"}),
    "run/checkpoints/step_00000007.npz": ("slegan", {"generator", "discriminator", "generator_ema"}),
    "folder": (None, {"generator_weights.h5", "heads_weights.h5"}),
    "any_name.h5": (None, {"any_name.h5"}),
    "judge.h5": (None, {"judge.h5"}),
    "cyclegan": ("cyclegan", {*CYCLEGAN, "generator_AB_ema", "generator_BA_ema"}),
}


@pytest.mark.parametrize("reference", INIT_FROM)
def test_all_networks_of_a_model(reference: str, place: Path) -> None:
    """What --init-from starts a run from; arrays are read when they are asked for."""
    gan, keys = INIT_FROM[reference]
    assert source_settings(str(place / reference), None)[0] == gan
    networks = open_model(place / reference).networks
    assert networks.keys() == keys
    for stored in networks.values():
        assert stored.read().keys() == dict(kernels(stored.network, stored.architecture)).keys()


@pytest.mark.parametrize("reference", ("nowhere.h5", "text.h5", "bert", "fresh", "text.npz", "run/nowhere"))
def test_convert_and_init_from_refuse_what_the_others_refuse(reference: str, place: Path, tmp_path: Path) -> None:
    path = str(place / reference)
    said = []
    for flag, read in (
        ("--init-from", lambda: source_settings(path, None)),
        ("--input", lambda: convert.main(["--input", path, "--to-fastgan", str(tmp_path / "a.pth")])),
    ):
        with pytest.raises(UserError) as caught:
            read()
        said.append(str(caught.value).removeprefix(f"{flag} {path}"))
    assert said[0] == said[1]
    if reference in ("nowhere.h5", "text.h5", "bert", "run/nowhere"):
        with pytest.raises(UserError) as caught:
            open_model(path, "--weights").generator()
        assert str(caught.value).removeprefix(f"--weights {path}") == said[0]


def test_convert_takes_pytorch_files_alone(place: Path, tmp_path: Path) -> None:
    output = ["--output-folder", str(tmp_path / "out")]
    for reference, words in (("run", "is a training run, no PyTorch file"), ("any_name.h5", "is a weights file, no")):
        with pytest.raises(UserError, match=words):
            convert.main(["--input", str(place / reference), *output])


def test_pytorch_files(place: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed; pip install 'sle-gan[torch]'")
    bias = {"to_image/bias": np.zeros(3, np.float32)}
    kernel = {path: torch.zeros(shape[3], shape[2], *shape[:2]) for path, shape in kernels(*TRANSLATOR)}
    theirs = {
        "from_image": 1, "down_1": 4, "down_2": 7, "block_1/conv_1": "10.block.1", "block_1/conv_2": "10.block.5",
        "up_1": 12, "up_0": 16, "to_image": 20,
    }  # fmt: skip
    state = {f"model.{theirs[path.removesuffix('/kernel')]}.weight": tensor for path, tensor in kernel.items()}
    torch.save(state | {"model.20.bias": torch.tensor(bias["to_image/bias"])}, tmp_path / "pytorch_model.bin")
    for reference in (tmp_path / "pytorch_model.bin", tmp_path):
        model = open_model(reference, "--weights")
        assert model.kind is Kind.TORCH and model.torch is None and model.path == tmp_path / "pytorch_model.bin"
        assert model.translator().architecture == TRANSLATOR[1]
        assert model.network("generator_BA").network == "ResNetGenerator"
        with pytest.raises(UserError, match=r"--weights .* holds ResNetGenerator.*sle-gan translate takes it"):
            model.generator()
    (tmp_path / "optimizer.pt").write_bytes(b"-")
    assert open_model(tmp_path).path == tmp_path / "pytorch_model.bin"  # the name that repositories use
    (tmp_path / "pytorch_model.bin").rename(tmp_path / "a.pth")
    with pytest.raises(UserError, match=r"holds no weights that we read \(its files: a.pth, optimizer.pt\)"):
        open_model(tmp_path)


def test_revisions(place: Path, commands: object) -> None:
    assert open_model("user/flowers", "--model", "v1").commit == open_model(REPOSITORY).commit == "folder"
    with pytest.raises(UserError, match=r"--model user/flowers@v1 names a revision, and 'v2' was given"):
        open_model(REPOSITORY, "--model", "v2")
    with pytest.raises(UserError, match="is on this machine and has no revision 'v1'"):
        open_model(place / "run", "--model", "v1")


def test_a_mistyped_path_is_not_asked_of_the_hub(
    place: Path, monkeypatch: pytest.MonkeyPatch, commands: dict[str, Any]
) -> None:
    monkeypatch.chdir(place)
    with pytest.raises(UserError, match=r"no such file or folder in run; .* give run/nowhere@main"):
        open_model("run/nowhere")
    with pytest.raises(UserError, match="and as a repository: the hub has no model repository run/nowhere"):
        open_model("run/nowhere@main")


def test_a_file_that_is_replaced_between_the_two_readings(place: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.h5"
    save(file, *SLEGAN["generator"])
    stored = open_model(file).generator()
    save(file, "Generator", {**SLEGAN["generator"][1], "width": 16})
    with pytest.raises(UserError, match="was replaced while it was read"):
        stored.read()
