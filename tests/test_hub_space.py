"""`sle-gan share --space`: the files of a hub Space, and the Space as a hub would start it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from helpers import REPOSITORY, STARTED, assert_refused, run
from test_folded import used

from sle_gan import Generator
from sle_gan.hub.space import GRADIO, PYTHON, REQUIREMENTS


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "generator_weights.h5"
    used(Generator(64, width=8, latent=16)).save_weights(path)
    return path


@pytest.fixture(scope="module")
def space(weights_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spaces") / 'my "flowers"'
    result = run("share", "--weights", weights_file, "--license", "cc0-1.0", "--space", folder)
    assert result.returncode == 0, result.stderr
    assert "wrote app.py" in result.stdout and "--repo-type space" in result.stdout
    return folder


def test_a_space_has_what_a_hub_needs(space: Path) -> None:
    yaml = pytest.importorskip("yaml")
    assert {path.name for path in space.iterdir()} == {"app.py", "requirements.txt", "README.md", "model", "sle_gan"}
    header = yaml.safe_load((space / "README.md").read_text(encoding="utf-8").split("---\n")[1])
    assert header["title"] == 'my "flowers"' and header["license"] == "cc0-1.0"
    assert header["sdk"] == "gradio" and header["sdk_version"] == GRADIO and header["app_file"] == "app.py"
    assert header["python_version"] == PYTHON and len(header["short_description"]) <= 60
    assert {path.name for path in (space / "model").iterdir()} == {
        "README.md", "config.json", "generator_weights.h5", "samples.png"
    }  # fmt: skip
    copied = {str(path.relative_to(space)) for path in (space / "sle_gan").rglob("*.py")}
    assert copied == {str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "sle_gan").rglob("*.py")}
    assert (space / "sle_gan" / "LICENSE").read_text() == (REPOSITORY / "LICENSE").read_text()


def test_a_space_installs_what_the_package_needs() -> None:
    tomllib = pytest.importorskip("tomllib")
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    core = [line.partition("#")[0].strip() for line in (REPOSITORY / "requirements-core.txt").read_text().splitlines()]
    known = {*filter(None, core), extras["tensorflow"][0], *extras["studio"], *extras["video"], *extras["features"]}
    assert set(REQUIREMENTS) <= known
    assert set(filter(None, core)) <= set(REQUIREMENTS)


def test_only_a_space_is_replaced(weights_file: Path, space: Path, tmp_path: Path) -> None:
    share = ("share", "--weights", weights_file, "--space")
    assert_refused(run(*share, space), "--override")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("x")
    assert_refused(run(*share, tmp_path / "mine", "--override"), "replaces only Spaces")
    assert_refused(run(*share, tmp_path / "new", "--push", "user/name"), "--push")
    assert_refused(run("share", "--space", tmp_path / "new"), "--name")
    (space / "model" / "old.txt").write_text("x")
    assert run(*share, space, "--override", "--license", "cc0-1.0").returncode == 0
    assert not (space / "model" / "old.txt").exists()


@pytest.mark.slow
def test_the_space_starts_where_the_package_is_not_installed(space: Path, tmp_path: Path) -> None:
    pytest.importorskip("gradio", reason="pip install 'sle-gan[studio]'")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    (own,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    # The packages that are installed here, without what makes a clone of this one importable.
    known = [path for path in dict.fromkeys([sysconfig.get_path("purelib"), *sys.path]) if "site-packages" in path]
    (own / "here.pth").write_text("\n".join(known))
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "KERAS_BACKEND")}
    absent = subprocess.run([python, "-c", "import sle_gan"], env=environment, cwd=tmp_path, capture_output=True)
    assert absent.returncode == 1
    process = subprocess.Popen(
        [python, "app.py"], cwd=space, env={**environment, "GRADIO_SERVER_PORT": "0"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    STARTED.append(process)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert "the studio is at" in line, process.communicate()
    url = re.findall(r"http://127\.0\.0\.1:\d+", line)[0]
    from test_studio_browser import CHROMIUM, playwright

    if CHROMIUM is not None:
        with playwright.sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = browser.new_page()
            page.goto(url)
            page.wait_for_selector("#pictures img", timeout=300_000)
            browser.close()
    process.terminate()
    _, err = process.communicate()
    assert process.returncode == 0 and "Traceback" not in err, err
