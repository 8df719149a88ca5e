"""What is installed is enough: one engine, no plotting, the wheel without its repository."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from helpers import REPOSITORY, SHARED, TINIEST, TINY, assert_refused

import sle_gan

# Each engine, and what is absent beside it.
ENVIRONMENTS = [
    ("tensorflow", ("jax", "jaxlib", "torch")),
    ("jax", ("tensorflow", "torch")),
    ("torch", ("tensorflow", "jax", "jaxlib")),
]
# A module that is None in sys.modules can neither be imported nor found.
WITHOUT = "import sys; sys.path.insert(0, {repository!r}); sys.modules.update(dict.fromkeys({absent!r}));"
IMPORT_ALL = """
import importlib, pkgutil, sle_gan
for module in pkgutil.walk_packages(sle_gan.__path__, "sle_gan."):
    if not module.name.startswith(others):  # their parts too
        importlib.import_module(module.name)
for name in sle_gan.__all__:
    getattr(sle_gan, name)
"""
COMMAND = """
from sle_gan.cli.main import entry
entry()
"""


def run_without(
    absent: tuple[str, ...], code: str, *arguments: object, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs code in a process in which the modules do not exist."""
    code = WITHOUT.format(repository=str(REPOSITORY), absent=absent) + code
    command = [sys.executable, "-c", code, *map(str, arguments)]
    variables = {key: value for key, value in os.environ.items() if key != "KERAS_BACKEND"} | environment
    return subprocess.run(command, env=variables, capture_output=True, text=True)


def need(engine: str) -> None:
    if importlib.util.find_spec(engine) is None:
        pytest.skip(f"{engine} is not installed")


@pytest.mark.parametrize(("engine", "absent"), ENVIRONMENTS)
def test_every_module_imports_without_the_other_engines(engine: str, absent: tuple[str, ...]) -> None:
    need(engine)
    others = tuple(f"sle_gan.engine.{name}" for name in absent)
    result = run_without(absent, f"others = {others!r}\n{IMPORT_ALL}", KERAS_BACKEND=engine)
    assert result.returncode == 0, result.stderr[-3000:]


@pytest.mark.parametrize(("engine", "absent"), ENVIRONMENTS)
def test_training_needs_no_other_engine(engine: str, absent: tuple[str, ...], pictures: Path, tmp_path: Path) -> None:
    need(engine)
    train = ("--data-folder", pictures, "--output-folder", tmp_path, "--name", "a", *TINIEST)
    result = run_without(absent, COMMAND, "train", "--engine", engine, *train, "--steps", 1)
    assert result.returncode == 0, result.stderr[-3000:]
    assert list((tmp_path / "a" / "tensorboard").iterdir()) and (tmp_path / "a" / "generator_weights.h5").exists()


def test_an_engine_that_is_not_installed_is_named_with_what_to_do(pictures: Path, tmp_path: Path) -> None:
    train = ("--data-folder", pictures, "--output-folder", tmp_path)
    engines = ("tensorflow", "jax", "torch")
    for engine in engines:
        script = (COMMAND, "train", "--engine", engine, *train)
        assert_refused(run_without(engines, *script), f"--engine {engine}", f"pip install {engine}")
    need("jax")
    result = run_without(("tensorflow",), COMMAND, "train", *train)
    assert_refused(result, "pip install tensorflow", "--engine jax, which is")


def test_training_needs_neither_matplotlib_nor_tensorboard(pictures: Path, tmp_path: Path) -> None:
    train = ("train", "--data-folder", pictures, "--output-folder", tmp_path, "--name", "a", *TINIEST)
    result = run_without(("matplotlib", "tensorboard"), COMMAND, *train, "--steps", 2)
    assert result.returncode == 0, result.stderr[-3000:]
    check_without_logs(result.stdout, tmp_path / "a")
    result = run_without(("matplotlib",), COMMAND, *train, "--name", "b", "--dry-run")
    assert "left out: curves.png and fid.png (needs matplotlib); pip install matplotlib\n" in result.stdout


def check_without_logs(printed: str, run: Path) -> None:
    """Without matplotlib and tensorboard a run says so once, and names no file that is not there."""
    (line,) = (line for line in printed.splitlines() if "matplotlib" in line)
    assert line == (
        "left out: curves.png and fid.png (needs matplotlib) and the TensorBoard log (needs tensorboard); "
        "pip install matplotlib tensorboard"
    )
    assert printed.count("curves.png") == 1 and "--logdir" not in printed
    names = {path.name for path in run.iterdir()}
    assert "generator_weights.h5" in names and not names & {"curves.png", "fid.png", "tensorboard"}


def test_the_extras_bring_what_the_requirement_files_do() -> None:
    """A clone that is not installed has the same packages as one that is."""
    tomllib = pytest.importorskip("tomllib")
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for engine, file in (
        ("tensorflow", "requirements.txt"),
        ("jax", "requirements-jax.txt"),
        ("torch", "requirements-torch.txt"),
    ):
        lines = [line.partition("#")[0].strip() for line in (REPOSITORY / file).read_text().splitlines()]
        own = [each for each in extras[engine] if each != "sle-gan[logs]"]
        assert sorted(filter(None, lines)) == sorted(["-r requirements-core.txt", *own, *extras["logs"]])
    for engine in ("tensorflow", "gpu", "jax", "torch"):
        assert extras[engine][-1] == "sle-gan[logs]"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist, and the wheel that is built from it."""
    pytest.importorskip("build")
    place = tmp_path_factory.mktemp("packed")
    shutil.copytree(REPOSITORY / "sle_gan", place / "clone" / "sle_gan", ignore=shutil.ignore_patterns("__pycache__"))
    for file in filter(Path.is_file, REPOSITORY.iterdir()):  # building writes beside them
        shutil.copyfile(file, place / "clone" / file.name)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", place, place / "clone"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    (sdist,), (wheel,) = place.glob("*.tar.gz"), place.glob("*.whl")
    return sdist, wheel


def test_the_wheel_holds_the_package_and_nothing_else(packed: tuple[Path, Path]) -> None:
    modules = {str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "sle_gan").rglob("*.py")}
    with zipfile.ZipFile(packed[1]) as wheel:
        names = set(wheel.namelist())
        (entry_points,) = (wheel.read(name).decode() for name in names if name.endswith("/entry_points.txt"))
        (metadata,) = (wheel.read(name).decode() for name in names if name.endswith("/METADATA"))
    assert {name for name in names if ".dist-info/" not in name} == {*modules, "sle_gan/py.typed"}
    assert entry_points.split() == ["[console_scripts]", "sle-gan", "=", "sle_gan.cli.main:entry"]
    assert f"\nVersion: {sle_gan.__version__}\n" in metadata and "licenses/LICENSE" in str(names)
    assert "Requires-Dist: keras<3.16,>=3.12" in metadata
    with tarfile.open(packed[0]) as sdist:
        kept = {name.partition("/")[2] for name in sdist.getnames()}
    assert kept >= {"README.md", "LICENSE", "pyproject.toml", "requirements-core.txt", *modules}


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "absent"), ENVIRONMENTS)
def test_a_really_clean_environment(
    engine: str, absent: tuple[str, ...], packed: tuple[Path, Path], pictures: Path, tmp_path: Path
) -> None:
    """The wheel in a new environment, with what its extra brings, running the commands of the README."""
    programs = tmp_path / "venv" / "bin"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    pip = [programs / "python", "-m", "pip"]
    installed = subprocess.run([*pip, "install", "--quiet", f"{packed[1]}[{engine}]"], capture_output=True, text=True)
    if installed.returncode:
        pytest.skip(f"the packages cannot be installed here: {installed.stderr.strip().splitlines()[-1]}")
    for module in absent:
        assert subprocess.run([programs / "python", "-c", f"import {module}"], capture_output=True).returncode == 1

    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "KERAS_BACKEND": engine}
    environment.pop("PYTHONPATH", None)

    def shell(line: str) -> str:
        result = subprocess.run(["/bin/sh", "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, f"{line}: {result.stderr[-3000:]}"
        return result.stdout

    def command(*arguments: object) -> str:
        return shell(shlex.join(["sle-gan", *map(str, arguments)]))

    assert command("--version") == f"sle-gan {sle_gan.__version__}\n"
    features = SHARED / "data" / "mobilenet_v1_imagenet_conv_pw_12.weights.h5"
    scored = ("--fid", "--fid-features", "mobilenet", "--fid-features-weights", features) if features.exists() else ()
    train = ("train", "--data-folder", pictures, *TINY, "--name")
    command(*train, "a", "--steps", 2, "--diff-augment", "--dry-run", *scored)
    printed = command(*train, "a", "--steps", 2, "--diff-augment", "--fid-number-of-images", 16, *scored)
    (line,) = (line.removeprefix("  new images   ") for line in printed.splitlines() if "new images" in line)
    assert line.startswith("sle-gan generate ") and "wrote 16 pictures to out" in shell(line)
    command("train", "--name", "a", "--resume", "--steps", 3)
    weights = ("--weights", "runs/a/generator_weights.h5")
    command("generate", *weights, "--count", 4, "--grid", "grid.png")
    command("generate", *weights, "--interpolate", 2, "--video", "loop.gif")
    command("share", "--weights", weights[1], "--folder", "shared")
    small = ("--resolution", 64, "--width", 8, "--blocks", 1, "--batch-size", 4)
    domains = ("--data-folder", pictures, "--target-folder", pictures)
    command("train", "--model", "cyclegan", *domains, *small, "--name", "c", "--steps", 2)
    translate = ("translate", "--weights", "runs/c", "--direction", "AB")
    command(*translate, "--input", pictures, "--output-folder", "translated")
    if scored:
        score = ("--features", "mobilenet", "--features-weights", features, "--metrics", "fid")
        assert "Frechet (mobilenet)" in command("evaluate", "score", "--real", pictures, "--fake", "out", *score)
    made = ("out/000001.png", "grid.png", "loop.gif", "shared/README.md", "runs/a/curves.png", "runs/a/tensorboard")
    assert all((tmp_path / name).exists() for name in made)

    subprocess.run([*pip, "uninstall", "--quiet", "--yes", "matplotlib", "tensorboard"], check=True)
    check_without_logs(command(*train, "b", "--model", "dcgan", "--steps", 2), tmp_path / "runs" / "b")
