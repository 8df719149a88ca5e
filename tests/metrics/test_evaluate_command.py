"""`sle-gan evaluate` as people run it: as a process."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import REPOSITORY, cpu_seconds, run
from PIL import Image

from sle_gan import SLEGANConfig, weights
from sle_gan.cli import evaluate as command
from sle_gan.cli.score_table import format_scores
from sle_gan.errors import UserError
from sle_gan.kernels import kernels
from sle_gan.metrics import FeatureStatistics, Scores


def evaluate(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return run("evaluate", *arguments, env={**os.environ, **environment})


def check_error(result: subprocess.CompletedProcess[str], message: str) -> None:
    """One clear line on stderr, exit code 2, no traceback."""
    assert result.returncode == 2, result.stderr
    lines = [line for line in result.stderr.splitlines() if ": error: " in line]
    assert len(lines) == 1 and message in lines[0], result.stderr
    assert "Traceback" not in result.stderr and not result.stdout


@pytest.fixture(scope="module")
def folders(shared_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Twelve pictures of the first class and ten of the last, small."""
    source = sorted((shared_folder / "data" / "flowers17").glob("*.jpg"))
    root = tmp_path_factory.mktemp("pictures")
    for name, paths in (("real", source[:12]), ("fake", source[-10:])):
        (root / name).mkdir()
        for path in paths:
            with Image.open(path) as image:
                image.resize((96, 80)).save(root / name / f"{path.stem}.png")
    return root / "real", root / "fake"


def test_help_is_quick_and_has_examples():
    seconds, result = cpu_seconds("evaluate", "--help")
    assert result.returncode == 0 and "examples:" in result.stdout
    assert seconds < 0.5
    assert "--features-weights" in evaluate("score", "--help").stdout


def test_two_folders_then_statistics_give_the_same_numbers(
    folders: tuple[Path, Path], mobilenet_weights: Path, tmp_path: Path
):
    real, fake = folders
    features = ("--features", "mobilenet", "--features-weights", mobilenet_weights)
    first = evaluate(
        *("score", "--real", real, "--fake", fake, "--metrics", "fid,kid,mifid,pr", "--bootstrap", 3),
        *("--json", tmp_path / "first.json", *features),
    )
    assert first.returncode == 0, first.stderr
    for text in ("Frechet (mobilenet)", "bootstrap", "12 images", "10 images", "own size", "bilinear to 224", "seed"):
        assert text in first.stdout
    assert "warning: 10 images are fewer than the 1024 features" in first.stderr
    assert "not comparable with published FID" in first.stderr
    saved = evaluate("stats", "--real", real, "--output", tmp_path / "real.npz", *features)
    assert saved.returncode == 0, saved.stderr
    second = evaluate(
        *("score", "--real", tmp_path / "real.npz", "--fake", fake, "--metrics", "fid,kid,mifid,pr"),
        *("--json", tmp_path / "second.json", "--batch-size", 4),
        *features[:2],
        SLE_GAN_FEATURES_WEIGHTS=str(mobilenet_weights),
    )
    assert second.returncode == 0, second.stderr
    one, two = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("first", "second"))
    assert two["metrics"].keys() == one["metrics"].keys() - {"fid_bootstrap_mean", "fid_bootstrap_std"}
    for name, value in two["metrics"].items():
        assert value == pytest.approx(one["metrics"][name], rel=1e-6, abs=1e-12)
    assert one["protocol"]["real"]["count"] == 12 and one["protocol"]["fake"]["count"] == 10


def test_a_long_name_leaves_room_before_its_number():
    side = {"count": 2, "preparation": "own size", "source": "here"}
    protocol = {"extractor": "efficientnet_lite0", "version": "1", "real": side, "fake": side, "seed": 0}
    lines = format_scores(Scores({"fid": 1.5}, protocol), "none").splitlines()
    assert lines[0].split() == ["Frechet", "(efficientnet_lite0)", "1.5000"]
    column = lines[0].index("1.5000")
    assert all(line[column - 1] == " " != line[column] for line in lines if line)


def test_statistics_of_another_extractor_are_refused(
    folders: tuple[Path, Path], mobilenet_weights: Path, tmp_path: Path
):
    version = "inception-2015-12-05/pool3"
    other = FeatureStatistics("inception", version, 12, np.zeros(2048), np.eye(2048))
    other.save(tmp_path / "other.npz")
    result = evaluate(
        *("score", "--real", tmp_path / "other.npz", "--fake", folders[1]),
        *("--features", "mobilenet", "--features-weights", mobilenet_weights),
    )
    check_error(result, f"statistics of another extractor, {version}")


def test_a_generator_file_is_scored_at_its_resolution(
    folders: tuple[Path, Path], mobilenet_weights: Path, tmp_path: Path
):
    """With a stand-in for the generator: what is tested here is the command, which takes it from a run."""
    run = make_run(tmp_path / "run", value_range="0,255")
    code = (
        "import sys, types, numpy as np\n"
        "module = types.ModuleType('sle_gan.generation')\n"
        "building = types.ModuleType('sle_gan.models.building')\n"
        "building.fold_network = lambda stored: stored\n"
        "sys.modules['sle_gan.models.building'] = building\n"
        "def generate_images(generator, seeds):\n"
        "    for seed in seeds:\n"
        "        yield np.random.default_rng(seed).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)\n"
        "module.generate_images = generate_images\n"
        "sys.modules['sle_gan.generation'] = module\n"
        "from sle_gan.cli.evaluate import main\n"
        "main(sys.argv[1:])\n"
    )
    arguments = [
        "score",
        "--real",
        folders[0],
        "--fake",
        run,
        "--count",
        "20",
        "--seed",
        "7",
        "--metrics",
        "fid,kid",
    ]
    arguments += ["--features", "mobilenet", "--features-weights", mobilenet_weights, "--json", tmp_path / "out.json"]
    line = [sys.executable, "-c", code, *map(str, arguments)]
    result = subprocess.run(line, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert result.returncode == 0, result.stderr
    protocol = json.loads((tmp_path / "out.json").read_text())["protocol"]
    preparation = "32x32 as trained on, values 0 to 255"
    assert protocol["real"]["preparation"] == protocol["fake"]["preparation"] == preparation
    assert protocol["fake"]["source"] == str(run / "generator_weights.h5")
    assert f"stands for its newest generator, {run / 'generator_weights.h5'}" in result.stdout
    assert protocol["fake"]["seeds"] == "7 to 26" and protocol["fake"]["count"] == 20


def make_run(folder: Path, **settings: object) -> Path:
    """A run's folder as `sle-gan evaluate` sees it, with the pictures that are not its generator's."""
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "samples").mkdir()
    (folder / "config.json").write_text(SLEGANConfig(resolution=64, **settings).to_json())  # type: ignore[arg-type]
    architecture = {"output_resolution": 64, "width": 8, "latent": 4, "channels": 3, "tanh": True}
    arrays = {path: np.zeros(shape, np.float32) for path, shape in kernels("Generator", architecture)}
    weights.save(folder / "generator_weights.h5", "Generator", architecture, arrays)
    for name in ("curves.png", "fid.png", "samples/samples_00000004.png"):
        Image.new("RGB", (64, 64)).save(folder / name)
    return folder


class _Begun(Exception):
    """The work began."""


@pytest.fixture
def refusal(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Gives what the command says against its arguments; fails where an engine would be started first."""

    def started(engine: str) -> None:
        raise _Begun(engine)

    monkeypatch.setattr(command, "import_engine_to_compute", started)

    def refuse(*arguments: object) -> str:
        with pytest.raises(UserError) as caught:
            command.main(list(map(str, arguments)))
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return refuse


def test_mistakes_are_found_before_the_work(pictures: Path, tmp_path: Path, refusal: Callable[..., str]):
    run, single = make_run(tmp_path / "run"), tmp_path / "single"
    single.mkdir()
    Image.new("RGB", (64, 64)).save(single / "a.png")
    moments = FeatureStatistics("inception", "v", 12, np.zeros(4), np.eye(4))
    moments.save(tmp_path / "photos")
    score = ("score", "--real", pictures, "--fake", pictures)
    assert refusal(*score, "--bootstrap", -1).startswith("bootstrap -1")
    assert refusal(*score, "--bootstrap", 1).startswith("bootstrap 1")
    assert "not among the metrics kid" in refusal(*score, "--bootstrap", 3, "--metrics", "kid")
    assert "at least 4 images for kid" in refusal(*score, "--count", 3, "--metrics", "kid")
    assert "expected 8 to 4096" in refusal(*score, "--resolution", 4)
    assert "such as 0,4095" in refusal(*score, "--value-range", "9,1")
    assert "holds 1 picture; expected at least 2" in refusal("score", "--real", single, "--fake", pictures)
    assert "holds 1 picture;" in refusal("stats", "--real", single, "--output", tmp_path / "new.npz")
    assert "is of a training run" in refusal("score", "--real", run, "--fake", pictures)
    assert "is of a training run" in refusal("score", "--real", pictures, "--fake", run / "samples")
    assert "is of a training run" in refusal("stats", "--real", run, "--output", tmp_path / "new.npz")
    saved = ("score", "--real", tmp_path / "photos", "--fake", pictures)
    assert "photos holds only moments" in refusal(*saved, "--metrics", "fid,kid")
    with pytest.raises(_Begun):  # what `stats` writes is read back, whatever it is called
        command.main(list(map(str, saved)))
    (run / "generator_weights.h5").unlink()
    assert "comes with the first checkpoint" in refusal("score", "--real", pictures, "--fake", run)
    (run / "generator_AB_weights.h5").write_text("stand-in")
    assert "translate" in refusal("score", "--real", pictures, "--fake", run)


def test_a_run_stands_for_its_generator(
    pictures: Path, tmp_path: Path, refusal: Callable[..., str], capsys: pytest.CaptureFixture[str]
):
    run = make_run(tmp_path / "run", enlarge="pixels")
    for best in (False, True):
        if best:
            (run / "best_generator_weights.h5").write_text("stand-in")
        with pytest.raises(_Begun):
            command.main(["score", "--real", str(pictures), "--fake", str(run)])
        said = capsys.readouterr().out
        assert str(run / "generator_weights.h5") in said
        assert (str(run / "best_generator_weights.h5") in said) == best


def test_mistakes_are_one_line(folders: tuple[Path, Path], mobilenet_weights: Path, tmp_path: Path):
    real, fake = folders
    (tmp_path / "empty").mkdir()
    features = ("--features", "mobilenet", "--features-weights", mobilenet_weights)
    score = ("score", "--real", real, "--fake", fake, *features)
    # These are found before anything is loaded.
    check_error(evaluate(*score, "--metrics", "is"), "expected some of fid, kid, mifid, pr")
    check_error(evaluate(*score, "--count", 1), "--count 1")
    check_error(evaluate(*score, "--json", tmp_path / "missing" / "out.json"), "--json")
    check_error(evaluate("score", "--real", tmp_path / "missing", "--fake", fake), "--real")
    check_error(evaluate(*score[:-1], tmp_path / "missing.h5"), "no file with features weights")
    check_error(evaluate("score", "--real", tmp_path / "empty", "--fake", fake, *features), "no pictures")
    check_error(evaluate(*score[:5], "--features", "clip"), "invalid choice")
    check_error(evaluate(*score, "--enlarge", "pixels"), "--enlarge pixels is for pictures read at a --resolution")
    check_error(evaluate(*score, "--cou", 3), "unrecognized arguments")


@pytest.mark.slow
def test_five_gigabytes_of_pictures_fit_in_three(mobilenet_weights: Path, tmp_path: Path):
    """1700 links to one bitmap of 1024x1024 pixels: each is read and decoded as a file of its own."""
    (tmp_path / "real").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (1024, 1024, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "picture.bmp")
    assert (tmp_path / "picture.bmp").stat().st_size * 1700 > 5e9
    for i in range(1700):
        (tmp_path / "real" / f"{i}.bmp").symlink_to(tmp_path / "picture.bmp")
    result = evaluate(
        *("stats", "--real", tmp_path / "real", "--output", tmp_path / "real.npz"),
        *("--features", "mobilenet", "--features-weights", mobilenet_weights),
    )
    assert result.returncode == 0, result.stderr
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024  # of the largest child so far
    assert peak < 3e9
