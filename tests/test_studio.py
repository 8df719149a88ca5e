"""The studio without a browser: what its tabs call, what the server lets through, and the page's assembly."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import keras
import numpy as np
import pytest
from helpers import assert_refused, run
from PIL import Image
from test_folded import used
from tiny_features import TinyMaps

from sle_gan import Generator, SLEGANConfig
from sle_gan.errors import UserError
from sle_gan.gans.cyclegan.networks import ResNetGenerator
from sle_gan.gans.dcgan.networks import DCGANGenerator
from sle_gan.generation import generate_images
from sle_gan.hub.loading import load_folded
from sle_gan.latents.points import images_of, points_of
from sle_gan.pictures import save_png
from sle_gan.studio import shelf as shelves
from sle_gan.studio import uploads
from sle_gan.studio.actions import EFFORTS, Actions
from sle_gan.studio.gate import MOST_JSON, Gate
from sle_gan.studio.outbox import Outbox
from sle_gan.studio.runs import Runs
from sle_gan.studio.shelf import Shelf


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Weights files by kind."""
    keras.utils.set_random_seed(0)
    folder = tmp_path_factory.mktemp("weights")
    networks = {
        "slegan": used(Generator(64, width=8, latent=16)),
        "other": used(Generator(64, width=8, latent=16)),
        "dcgan": DCGANGenerator(32, width=8, latent=16),
        "cyclegan": ResNetGenerator(width=8, blocks=1),
    }
    paths = {}
    for name, network in networks.items():
        paths[name] = folder / name / "generator_weights.h5"
        paths[name].parent.mkdir()
        network.save_weights(paths[name])
    return paths


@pytest.fixture
def model(weights: dict[str, Path], tmp_path: Path) -> Path:
    """A file of its own, which may be changed."""
    path = tmp_path / "flowers.h5"
    path.write_bytes(weights["slegan"].read_bytes())
    return path


@pytest.fixture
def actions(model: Path, tmp_path: Path) -> Actions:
    return Actions(Shelf([str(model)]), Outbox(tmp_path / "served"))


def pixels(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def make_run(folder: Path, steps: int = 40, done: int = 40) -> Path:
    """The folder of a run that nobody trained."""
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "samples").mkdir()
    config = SLEGANConfig(data_folder="d", resolution=64, width=8, steps=steps, output_folder=str(folder.parent),
                          name=folder.name)  # fmt: skip
    (folder / "config.json").write_text(config.to_json())
    lines = [{"step": i + 1, "time": i, "images_per_second": 9.5, "generator": 1 / (i + 1)} for i in range(done)]
    lines[-1:] = [lines[-1], {"step": done, "fid": 30.0, "extractor": "mobilenet", "count": 8, "real_count": 8}]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for step in (0, 20, 40):
        save_png(np.full((32, 32, 3), step, np.uint8), folder / "samples" / f"samples_{step:08d}.png")
    return folder


def test_pictures_are_those_of_generate(actions: Actions, model: Path) -> None:
    made = actions.create("flowers.h5", 5, 6, 1.0)
    expected = np.concatenate(list(generate_images(load_folded(model), range(5, 11), 1.0)))
    np.testing.assert_array_equal([pixels(path) for path, _ in made.pictures], expected)
    assert [caption for _, caption in made.pictures] == ["5", "6", "7", "8", "9", "10"]
    with zipfile.ZipFile(made.archive) as archive:
        assert archive.namelist() == [f"{seed:06d}.png" for seed in range(5, 11)] and archive.testzip() is None
    for wrong in ({"seed": -1}, {"seed": 0.5}, {"count": 65}, {"count": None}, {"truncation": 0.05}, {"model": "x"}):
        with pytest.raises(UserError):
            actions.create(**{"model": "flowers.h5", "seed": 0, "count": 1, "truncation": 0, **wrong})


def test_each_class_of_a_generator_is_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keras.utils.set_random_seed(0)
    network = used(Generator(64, width=8, latent=16, classes=("rose", "daisy"), class_pictures=(3, 1)))
    network.save_weights(tmp_path / "kinds.h5")
    actions = Actions(Shelf([str(tmp_path / "kinds.h5")]), Outbox(tmp_path / "served"))
    assert actions.shelf.generators() == ["kinds.h5", "kinds.h5: rose", "kinds.h5: daisy"]
    assert "64x64 pixels from 16 numbers" in actions.describe("kinds.h5: daisy")
    folded = load_folded(tmp_path / "kinds.h5")
    for name, weights in (("rose", [1.0, 0.0]), ("daisy", [0.0, 1.0])):
        (expected,) = np.concatenate(list(generate_images(folded.of_class(np.array(weights)), range(7, 8))))
        np.testing.assert_array_equal(pixels(actions.create(f"kinds.h5: {name}", 7, 1).pictures[0][0]), expected)
    # All classes: each picture is of the class of its seed, as `generate` without --class makes it.
    every = [pixels(path) for path, _ in actions.create("kinds.h5", 0, 6).pictures]
    np.testing.assert_array_equal(every, np.concatenate(list(generate_images(folded, range(6)))))
    np.testing.assert_array_equal(actions.picture("kinds.h5", actions.moved("kinds.h5", 3, "principal", [0])), every[3])
    assert actions.mix("kinds.h5", "0-1", "5", 1.0).dtype == np.uint8
    moved = actions.moved("kinds.h5", 3, "principal", [2.0])
    assert np.abs(actions.picture("kinds.h5", moved).astype(int) - every[3]).max() > 0
    assert Path(actions.walk("kinds.h5", "0,1,2", 0.5, "loop", "linear")).stat().st_size > 0
    with pytest.raises(UserError, match="searched in one class: choose one of the models that begin"):
        next(actions.find("kinds.h5", every[0]))
    monkeypatch.setitem(EFFORTS, "quick", (4, 1, 2))
    actions._maps = TinyMaps()
    found = list(actions.find("kinds.h5: daisy", every[0], "quick"))[-1]
    (point,) = points_of(actions.latents_file(found.point), 16, "--latents")
    np.testing.assert_array_equal(point.classes, [0, 1])
    assert np.abs(next(images_of(folded, [point])).astype(int) - found.picture).max() <= 1
    network = used(Generator(64, width=8, latent=16))
    network.save_weights(tmp_path / "kinds.h5")
    with pytest.raises(UserError, match="no more"):
        actions.create("kinds.h5: rose", 0, 1)


def test_mixes_directions_and_styles(actions: Actions) -> None:
    sheet = actions.mix("flowers.h5", "0-1", "5", 1.0)
    assert sheet.dtype == np.uint8 and sheet.shape[2] == 3
    own = actions.picture("flowers.h5", actions.moved("flowers.h5", 3, "closed-form", [0] * 6))
    np.testing.assert_array_equal(own, pixels(actions.create("flowers.h5", 3, 1).pictures[0][0]))
    point = actions.moved("flowers.h5", 3, "closed-form", [2.0, 0, 0, 0, 0, 0])
    assert np.abs(actions.picture("flowers.h5", point).astype(int) - own).max() > 0
    point = actions.moved("flowers.h5", 3, "closed-form", ())
    assert actions.restyled("flowers.h5", point, 7, 0.0) is point
    styled = actions.restyled("flowers.h5", point, 3, 1.0)  # its own style
    assert np.abs(actions.picture("flowers.h5", styled).astype(int) - own).max() <= 1
    for method, lengths in (("none", [1]), ("closed-form", [1e9]), ("closed-form", ["1"])):
        with pytest.raises(UserError):
            actions.moved("flowers.h5", 3, method, lengths)


def test_what_is_typed_is_never_a_file(actions: Actions, tmp_path: Path) -> None:
    actions.latents_file(actions.moved("flowers.h5", 3, "closed-form", ()))
    (file,) = (tmp_path / "served").rglob("found.npz")
    for text in (str(file), "/etc/passwd", "", "1-100", "a"):
        with pytest.raises(UserError):
            actions.mix("flowers.h5", text, "1", 1.0)


def test_a_walk_is_a_video(actions: Actions, monkeypatch: pytest.MonkeyPatch) -> None:
    parts: list[float] = []
    path = actions.walk("flowers.h5", "1,2", 0.5, "loop", "smooth", parts.append)
    assert Path(path).stat().st_size and parts == sorted(parts) and parts[0] >= 0 and parts[-1] < 1
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert actions.walk("flowers.h5", "1,2", 0.5, "once", "linear").endswith(".webp")
    for wrong in (("1", 1), ("1,2", 1000), ("0-99", 1)):
        with pytest.raises(UserError):
            actions.walk("flowers.h5", *wrong, "loop", "smooth")


def test_a_photo_is_found_and_changed(actions: Actions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EFFORTS, "quick", (8, 2, 6))
    actions._maps = TinyMaps()
    save_png(np.random.default_rng(0).integers(0, 256, (80, 100, 3), np.uint8), tmp_path / "photo.png")
    photo = actions.photo("flowers.h5", str(tmp_path / "photo.png"))
    assert photo.shape == (64, 64, 3)
    seen = list(actions.find("flowers.h5", photo, "quick", gates=True))
    distances = [each.distance for each in seen]
    assert distances == sorted(distances, reverse=True) and distances[-1] < distances[0] and seen[-1].part <= 1
    np.testing.assert_array_equal(seen[-1].picture, actions.picture("flowers.h5", seen[-1].point))
    moved = actions.moved("flowers.h5", seen[-1].point, "closed-form", [2])
    assert np.abs(actions.picture("flowers.h5", moved).astype(int) - seen[-1].picture).max() > 0
    search = actions.find("flowers.h5", photo, "quick")
    next(search)
    search.close()  # the visitor is gone


@pytest.mark.parametrize("kind", ("dcgan", "cyclegan"))
def test_what_a_model_cannot_do_is_told(kind: str, weights: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / ("generator_AB_weights.h5" if kind == "cyclegan" else "generator_weights.h5")
    path.write_bytes(weights[kind].read_bytes())
    actions = Actions(Shelf([str(tmp_path)]), Outbox(tmp_path / "served"))
    name = tmp_path.name
    if kind == "cyclegan":
        assert actions.shelf.translators() == [name] and not actions.shelf.generators()
        save_png(np.zeros((40, 3000, 3), np.uint8)[:, :600], tmp_path / "a.png")
        before, after = actions.translate(name, "AB", str(tmp_path / "a.png"))
        assert before.shape == after.shape == (40, 600, 3)
        with pytest.raises(UserError, match="translates AB, not 'BA'"):
            actions.translate(name, "BA", str(tmp_path / "a.png"))
        return
    assert len(actions.create(name, 0, 2).pictures) == 2 and "no styles" in actions.describe(name)
    assert actions.picture(name, actions.moved(name, 0, "closed-form", [1])).shape == (32, 32, 3)
    with pytest.raises(UserError, match="no gates"):
        actions.mix(name, "0", "1", 1.0)


def test_a_model_file_that_is_replaced_or_broken(actions: Actions, model: Path, weights: dict[str, Path]) -> None:
    before = pixels(actions.create("flowers.h5", 0, 1).pictures[0][0])
    new = model.with_suffix(".new")
    new.write_bytes(weights["other"].read_bytes())
    new.replace(model)
    after = pixels(actions.create("flowers.h5", 0, 1).pictures[0][0])
    assert np.abs(before.astype(int) - after).max() > 0
    whole = model.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"no weights"):
        model.write_bytes(content)
        with pytest.raises(UserError, match=r"flowers\.h5"):
            actions.create("flowers.h5", 0, 1)
    model.unlink()
    with pytest.raises(UserError, match="no such file"):
        actions.create("flowers.h5", 0, 1)
    model.write_bytes(whole)
    np.testing.assert_array_equal(pixels(actions.create("flowers.h5", 0, 1).pictures[0][0]), after)


def test_two_visitors_at_once(actions: Actions) -> None:
    alone = [actions.mix("flowers.h5", f"{seed}", "9", 1.0) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda seed: actions.mix("flowers.h5", f"{seed}", "9", 1.0), range(4)))
    for one, other in zip(alone, together):
        np.testing.assert_array_equal(one, other)


def test_few_networks_are_kept(weights: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelves, "KEPT", 1)
    shelf = Shelf([str(weights["slegan"]), str(weights["dcgan"])])
    first, second = shelf.generators()
    assert shelf.generator(first) is shelf.generator(first)
    before = shelf.generator(first)
    shelf.generator(second)
    assert shelf.generator(first) is not before


def test_uploads_have_limits(actions: Actions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path | None, words: str) -> None:
        for read in (uploads.read_cut_upload, uploads.read_whole_upload):
            arguments = (64, 3) if read is uploads.read_cut_upload else (3,)
            with pytest.raises(UserError, match=words):
                read(path and str(path), *arguments)

    large, text, heavy = tmp_path / "large.png", tmp_path / "text.png", tmp_path / "heavy.png"
    Image.new("1", (10_000, 10_000)).save(large)  # a hundred megapixels in some kilobytes
    refused(large, r"large\.png has 10,000 x 10,000 pixels, 100 million; at most 64 million")
    text.write_text("no picture")
    refused(text, r"text\.png cannot be read")
    with heavy.open("wb") as file:
        file.truncate(uploads.MOST_BYTES + 1)
    refused(heavy, "at most 32 MB")
    refused(tmp_path / "gone.png", "no longer here")
    refused(None, "no photo yet")
    monkeypatch.setattr(uploads, "TRANSLATED_SIDE", 50)
    save_png(np.zeros((60, 100, 3), np.uint8), tmp_path / "a.png")
    assert uploads.read_whole_upload(str(tmp_path / "a.png"), 1).shape == (30, 50, 1)


def test_models_that_are_shown(weights: dict[str, Path], tmp_path: Path) -> None:
    shelf = Shelf([str(weights["slegan"]), str(weights["other"])], tmp_path)
    first, second = shelf.generators()
    assert first == "generator_weights.h5" and second == str(weights["other"])
    make_run(tmp_path / "late")
    assert shelf.generators() == [first, second]  # it has no export yet
    (tmp_path / "late" / "generator_weights.h5").write_bytes(weights["slegan"].read_bytes())
    assert shelf.generators() == [first, second, "late"] and list(shelf.run_folders()) == ["late"]
    for name in ("../late", str(tmp_path / "late"), "", None):
        with pytest.raises(UserError, match="there is no model"):
            shelf.generator(name)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="--model"):
        Shelf([str(tmp_path)])
    with pytest.raises(UserError, match="--runs"):
        Shelf([], tmp_path / "none")


def test_runs_as_they_stand(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "runs" / "a", steps=100)
    runs = Runs(Shelf([], tmp_path / "runs"), Outbox(tmp_path / "served"))
    standing = runs.standing("a")
    assert (
        "slegan, 64 px, step 40 of 100, training" in standing.summary and "at best 30.0 at step 40" in standing.summary
    )
    assert standing.steps == [0, 20, 40] and runs.standing("a") is standing
    for path in (standing.curves, standing.fid):
        assert path is None or Image.open(path).size[0] > 100
    path, caption = runs.grid("a", 99)
    assert caption == "step 40" and pixels(path)[0, 0, 0] == 40 and runs.grid("a", 1)[1] == "step 20"
    with (folder / "log.jsonl").open("a") as log:
        log.write(json.dumps({"step": 100, "time": 1, "generator": 0.1, "images_per_second": 1.0}) + "\n{unfinished")
    assert "complete" in runs.standing("a").summary
    (folder / "samples" / "samples_00000060.png").write_text("no picture")
    with pytest.raises(UserError, match="samples_00000060"):
        runs.grid("a", 3)
    with pytest.raises(UserError, match="there is no run"):
        runs.standing("../a")


def ask(path: str, method: str = "GET", body: bytes = b"") -> tuple[int, dict[str, str], list[bytes]]:
    """Status and headers that the gate gives, and the bodies that came through it."""
    came: list[bytes] = []
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        came.append((await receive()).get("body", b""))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    parts = [body[i : i + 1000] for i in range(0, len(body), 1000)] or [b""]
    messages = iter([{"type": "http.request", "body": part, "more_body": True} for part in parts[:-1]]
                    + [{"type": "http.request", "body": parts[-1], "more_body": False}])  # fmt: skip

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(Gate(app)({"type": "http", "path": path, "method": method}, receive, send))
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, came


def test_the_gate() -> None:
    for path in ("/", "/config", "/assets/index.js", "/theme.css", "/gradio_api/queue/join",
                 "/gradio_api/upload", "/gradio_api/file=/tmp/x.png", "/gradio_api/heartbeat/abc"):  # fmt: skip
        status, headers, _ = ask(path)
        assert status == 200 and "default-src 'self'" in headers["content-security-policy"]
    for path in ("/gradio_api/file=http://example.org/a", "/gradio_api/file= https://example.org/a", "/docs",
                 "/gradio_api/proxy=https://a.hf.space/", "/gradio_api/process_recording", "/gradio_api/runs",
                 "/gradio_api/vibe-edit", "/monitoring", "/login", "/gradio_api/file=ftp://a"):  # fmt: skip
        assert ask(path)[0] == 404, path
    body = json.dumps({"data": [1, {"path": "/tmp/gradio/a.png", "url": "http://127.0.0.1/a"}]}).encode()
    assert ask("/gradio_api/queue/join", "POST", body)[2] == [body]
    foreign = b'{"data": [[{"\\u0070ath": "HTTP://example.org/a.png", "meta": {"_type": "gradio.FileData"}}]]}'
    for wrong in (foreign, b"no json", b"[" * 100_000, b'"' + b"a" * MOST_JSON + b'"'):
        status, _, came = ask("/gradio_api/queue/join", "POST", wrong)
        assert status == 400 and not came


def test_the_server_reads_nothing_else(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gradio", reason="pip install 'sle-gan[studio]'")
    for name in ("GRADIO_ANALYTICS_ENABLED", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK", "GRADIO_TEMP_DIR"):
        monkeypatch.setenv(name, "")  # and back again
    from sle_gan.studio import serve

    make_run(tmp_path / "runs" / "a")
    shelf, port = serve.check([str(model)], str(tmp_path / "runs"), "127.0.0.1", 0)
    server = serve.start(shelf, "127.0.0.1", port)
    try:
        serve.warm_up(server)

        def get(path: str, method: str = "GET", body: Any = None, **headers: str) -> tuple[int, bytes]:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.read()

        status, page = get("/")
        assert status == 200 and b"SLE-GAN studio" in page and b"fonts.googleapis" not in page
        own = server.actions.create("flowers.h5", 0, 1).pictures[0][0]
        assert get(f"/gradio_api/file={own}")[0] == 200
        config = tmp_path / "runs" / "a" / "config.json"
        for path in (str(model), str(config), "/etc/passwd", f"{own}/../../../../../etc/passwd", "pyproject.toml",
                     f"{server.folder}/../{tmp_path.name}", "~/.bashrc"):  # fmt: skip
            assert get(f"/gradio_api/file={quote(path)}")[0] in (403, 404), path
        assert get("/gradio_api/file=http://127.0.0.1:1/")[0] == 404
        boundary = "x"
        content = b"0" * (uploads.MOST_BYTES + 1000)
        body = (b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n' + content
                + b"\r\n--x--\r\n")  # fmt: skip
        status, _ = get("/gradio_api/upload", "POST", body,
                        **{"Content-Type": f"multipart/form-data; boundary={boundary}"})  # fmt: skip
        assert status == 413
    finally:
        server.close()
    assert not server.folder.exists()
    assert not any(thread.name.startswith("gradio") for thread in threading.enumerate())


def test_the_command_refuses_in_one_line(model: Path, tmp_path: Path) -> None:
    pytest.importorskip("gradio", reason="pip install 'sle-gan[studio]'")
    assert_refused(run("studio"), "--model", "--runs")
    assert_refused(run("studio", "--model", tmp_path / "none.h5"), "none.h5")
    assert_refused(run("studio", "--model", model, "--host", "256.0.0.1"), "--host 256.0.0.1")
    assert_refused(run("studio", "--model", model, "--port", "70000"), "70000")
