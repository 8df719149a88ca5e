"""evaluate.py as people run it: as a process."""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sle_gan.metrics import FeatureStatistics

ROOT = Path(__file__).resolve().parents[2]


def evaluate(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "evaluate.py"), *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=500, env={**os.environ, **environment}, check=False
    )


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
    quickest = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        result = evaluate("--help")
        quickest = min(quickest, time.perf_counter() - start)
    assert result.returncode == 0 and "examples:" in result.stdout
    assert quickest < 0.5
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
    """With a stand-in for the generator: what is tested here is the command."""
    (tmp_path / "weights.h5").write_text("stand-in")
    code = (
        "import sys, types, numpy as np\n"
        "module = types.ModuleType('sle_gan.generation')\n"
        "module.load_generator = lambda path: path\n"
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
        tmp_path / "weights.h5",
        "--count",
        "20",
        "--seed",
        "7",
        "--metrics",
        "fid,kid",
    ]
    arguments += ["--features", "mobilenet", "--features-weights", mobilenet_weights, "--json", tmp_path / "out.json"]
    command = [sys.executable, "-c", code, *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=500, cwd=ROOT, check=False)
    assert result.returncode == 0, result.stderr
    protocol = json.loads((tmp_path / "out.json").read_text())["protocol"]
    assert protocol["real"]["preparation"] == protocol["fake"]["preparation"] == "32x32 as trained on"
    assert protocol["fake"]["seeds"] == "7 to 26" and protocol["fake"]["count"] == 20


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
