"""One engine is enough: everything works on JAX without TensorFlow, and on TensorFlow without JAX or PyTorch."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import REPOSITORY, SHARED, TINY, assert_refused

# Each engine, what is absent beside it, and the file that installs it.
ENVIRONMENTS = [
    ("tensorflow", ("jax", "jaxlib", "torch"), "requirements.txt"),
    ("jax", ("tensorflow", "torch"), "requirements-jax.txt"),
]
# A module that is None in sys.modules can neither be imported nor found.
WITHOUT = "import sys; sys.path.insert(0, {repository!r}); sys.modules.update(dict.fromkeys({absent!r}));"
IMPORT_ALL = """
import importlib, pkgutil, sle_gan
for module in pkgutil.walk_packages(sle_gan.__path__, "sle_gan."):
    if not module.name.startswith("sle_gan.engine." + other):  # its parts too
        importlib.import_module(module.name)
for name in sle_gan.__all__:
    getattr(sle_gan, name)
"""
COMMAND = """
import runpy
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
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


@pytest.mark.parametrize(("engine", "absent"), [each[:2] for each in ENVIRONMENTS])
def test_every_module_imports_without_the_other_engine(engine: str, absent: tuple[str, ...]) -> None:
    need(engine)
    result = run_without(absent, f"other = {absent[0]!r}\n{IMPORT_ALL}", KERAS_BACKEND=engine)
    assert result.returncode == 0, result.stderr[-3000:]


@pytest.mark.parametrize(("engine", "absent"), [each[:2] for each in ENVIRONMENTS])
def test_training_needs_no_other_engine(engine: str, absent: tuple[str, ...], pictures: Path, tmp_path: Path) -> None:
    need(engine)
    train = ("--data-folder", pictures, "--output-folder", tmp_path, "--name", "a", "--model", "dcgan", *TINY)
    result = run_without(absent, COMMAND, REPOSITORY / "train.py", "--engine", engine, *train, "--steps", 1)
    assert result.returncode == 0, result.stderr[-3000:]
    assert list((tmp_path / "a" / "tensorboard").iterdir()) and (tmp_path / "a" / "generator_weights.h5").exists()


def test_an_engine_that_is_not_installed_is_named_with_what_to_do(pictures: Path, tmp_path: Path) -> None:
    train = ("--data-folder", pictures, "--output-folder", tmp_path)
    both = ("tensorflow", "jax")
    for engine in both:
        script = (COMMAND, REPOSITORY / "train.py", "--engine", engine, *train)
        assert_refused(run_without(both, *script), f"--engine {engine}", f"pip install {engine}")
    need("jax")
    result = run_without(("tensorflow",), COMMAND, REPOSITORY / "train.py", *train)
    assert_refused(result, "pip install tensorflow", "--engine jax, which is")


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "absent", "requirements"), ENVIRONMENTS)
def test_a_really_clean_environment(
    engine: str, absent: tuple[str, ...], requirements: str, pictures: Path, tmp_path: Path
) -> None:
    """What a newcomer installs, in a new environment, running the commands of the README."""
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    pip = [python, "-m", "pip", "install", "--quiet", "-r", REPOSITORY / requirements]
    installed = subprocess.run(pip, capture_output=True, text=True)
    if installed.returncode:
        pytest.skip(f"the packages cannot be installed here: {installed.stderr.strip().splitlines()[-1]}")
    for module in absent:
        assert subprocess.run([python, "-c", f"import {module}"], capture_output=True).returncode == 1, module

    def command(script: str, *arguments: object) -> str:
        line = [python, REPOSITORY / script, *map(str, arguments), "--engine", engine]
        result = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True)
        assert result.returncode == 0, f"{script} {arguments}: {result.stderr[-3000:]}"
        return result.stdout

    features = SHARED / "data" / "mobilenet_v1_imagenet_conv_pw_12.weights.h5"
    scored = ("--fid", "--fid-features", "mobilenet", "--fid-features-weights", features) if features.exists() else ()
    train = ("train", "--data-folder", pictures, *TINY, "--name")
    command(*train, "a", "--steps", 2, "--diff-augment", "--dry-run", *scored)
    command(*train, "a", "--steps", 2, "--diff-augment", "--fid-number-of-images", 16, *scored)
    command("train", "--name", "a", "--resume", "--steps", 3)
    weights = ("--weights", "runs/a/generator_weights.h5")
    command("generate", *weights, "--count", 2, "--output-folder", "out")
    command("generate", *weights, "--count", 4, "--grid", "grid.png")
    command("generate", *weights, "--interpolate", 2, "--video", "loop.gif")
    command(*train, "b", "--model", "dcgan", "--steps", 2)
    small = ("--resolution", 64, "--width", 8, "--blocks", 1, "--batch-size", 4)
    domains = ("--data-folder", pictures, "--target-folder", pictures)
    command("train", "--model", "cyclegan", *domains, *small, "--name", "c", "--steps", 2)
    if scored:
        score = ("--features", "mobilenet", "--features-weights", features, "--metrics", "fid")
        assert "fid" in command("evaluate", "score", "--real", pictures, "--fake", "out", *score)
    assert all((tmp_path / name).exists() for name in ("out/000001.png", "grid.png", "loop.gif", "runs/c"))
