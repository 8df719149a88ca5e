"""Models on a hub: a real client against a small hub on loopback, and what each kind of bad repository meets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import REPOSITORY, assert_refused, run
from hub_server import READ_TOKEN, TOKEN, Hub, running_hub
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import sle_gan
from sle_gan import Generator
from sle_gan.errors import UserError
from sle_gan.hub import model_files as files

pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed; pip install -r requirements-dev.txt")

OURS = json.dumps({"library_name": "sle-gan"}).encode()
MODEL = {"config.json": OURS, "generator_weights.h5": b"numbers" * 100, "README.md": b"# card", "notes.txt": b"-"}
DEAD = "http://127.0.0.1:9"  # the discard port: nobody listens there


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with running_hub() as hub:
        yield hub


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "hf home"


def environment(hub: Hub, home: Path, **changes: str) -> dict[str, str]:
    """The user's environment with this hub, an empty cache and no token."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
    ours = {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    patience = {"HF_HUB_ETAG_TIMEOUT": "600", "HF_HUB_DOWNLOAD_TIMEOUT": "600"}
    return {**inherited, "PYTHONPATH": str(REPOSITORY), **ours, **patience, **changes}


def file_names(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


WORKER = """
import json, sys
from sle_gan import hub
from sle_gan.errors import UserError
from sle_gan.hub import client

client.TIMEOUT_SECONDS = 600  # the server is this busy machine
for call in json.load(sys.stdin):
    try:
        print(hub.local_folder(*call))
    except UserError as error:
        print("refused:", error)
"""


def ask(calls: list[tuple[str, ...]], env: dict[str, str]) -> list[str]:
    """What `local_folder` answers to each of the calls, in a process of its own: the client reads its settings once."""
    result = subprocess.run(
        [sys.executable, "-c", WORKER], input=json.dumps(calls), env=env, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_a_repository_is_downloaded_checked_and_cached(hub: Hub, home: Path) -> None:
    repo = hub.add("user/flowers", MODEL)
    first = repo.refs["main"]
    repo.commit({**MODEL, "generator_weights.h5": b"newer" * 100})
    repo.refs["v1"] = first
    main, tag, commit = ask(
        [("user/flowers",), ("user/flowers", "v1"), ("user/flowers", first)], environment(hub, home)
    )
    assert Path(main).name == repo.refs["main"] and Path(tag).name == Path(commit).name == first
    assert (Path(main) / "generator_weights.h5").read_bytes() == b"newer" * 100
    assert (Path(tag) / "generator_weights.h5").read_bytes() == MODEL["generator_weights.h5"]
    assert file_names(tag) == ["config.json", "generator_weights.h5"]  # nothing else was fetched
    assert not any("notes.txt" in request for request in hub.requests)

    hub.requests.clear()
    assert ask([("user/flowers",)], environment(hub, home)) == [main]
    assert not [request for request in hub.requests if request.startswith('"GET') and "weights" in request]


def test_offline_and_without_network_the_cache_serves(hub: Hub, home: Path) -> None:
    repo = hub.add("user/cached", MODEL)
    hub.add("user/broken-off", MODEL)
    (folder, _) = ask([("user/cached", "main"), ("user/broken-off",)], environment(hub, home))
    next(home.glob("hub/models--user--broken-off/snapshots/*/generator_weights.h5")).unlink()
    calls = [
        ("user/cached",),
        ("user/cached", repo.refs["main"]),
        ("user/cached", "v2"),
        ("user/other",),
        ("user/broken-off",),
    ]
    before = len(hub.requests)
    for env, why in (
        (environment(hub, home, HF_HUB_OFFLINE="1"), "HF_HUB_OFFLINE is set"),
        (environment(hub, home, HF_ENDPOINT=DEAD), f"check the network: no answer from {DEAD}"),
    ):
        by_branch, by_commit, other_revision, other_name, partial = ask(calls, env)
        assert by_branch == by_commit == folder
        for answer, words in (
            (other_revision, "user/cached at 'v2' is not in the cache"),
            (other_name, "user/other is not in the cache"),
            (partial, "user/broken-off is not whole in the cache"),
        ):
            assert answer.startswith(f"refused: {why}") and words in answer
    assert len(hub.requests) == before

    blob = (Path(folder) / "generator_weights.h5").resolve()
    blob.write_bytes(b"x" + blob.read_bytes()[1:])
    (answer,) = ask([("user/cached",)], environment(hub, home, HF_HUB_OFFLINE="1"))
    assert "generator_weights.h5 has the SHA256" in answer and not blob.exists()
    (answer,) = ask([("user/cached",)], environment(hub, home))
    assert (Path(answer) / "generator_weights.h5").read_bytes() == MODEL["generator_weights.h5"]


def _endless(repo: Any) -> None:
    repo.faults.endless = True


def _status(repo: Any) -> None:
    repo.faults.status = 503


def _content(name: str, content: bytes):
    return lambda repo: repo.faults.content.update({name: content})


def _listing(change):
    def apply(repo: Any) -> None:
        repo.faults.listing = lambda listed: change({file["rfilename"]: file for file in listed}, listed)

    return apply


def _also(name: str):
    return _listing(lambda _, listed: listed.append({"rfilename": name, "size": 3, "blobId": "0" * 40}))


WEIGHTS = "generator_weights.h5"
BAD_REPOSITORIES: dict[str, tuple[Any, dict[str, bytes], tuple[str, ...]]] = {
    "wrong-hash": (_content(WEIGHTS, b"nUmbers" * 100), MODEL, (WEIGHTS, "SHA256", "deleted from the cache")),
    "wrong-config": (_content("config.json", OURS.replace(b"sle", b"SLE")), MODEL, ("config.json", "SHA1")),
    "too-short": (_content(WEIGHTS, b"numbers" * 99), MODEL, ("700", "693")),
    "endless": (_endless, MODEL, (WEIGHTS, "larger than its listing says")),
    "parent": (_also("../../.bashrc"), MODEL, ("'../../.bashrc'", "leads out")),
    "absolute": (_also("/etc/passwd"), MODEL, ("'/etc/passwd'", "leads out")),
    "backslash": (_also("a\\..\\..\\b.h5"), MODEL, ("leads out",)),
    "drive": (_also("C:/autoexec.bat"), MODEL, ("leads out",)),
    "hidden-in-the-middle": (_also("weights/../../generator_weights.h5"), MODEL, ("leads out",)),
    "huge": (
        _listing(lambda files, _: files[WEIGHTS]["lfs"].update(size=10**11)),
        MODEL,
        (WEIGHTS, "100,000.0 MB", "4,000 MB"),
    ),
    "huge-config": (
        _listing(lambda files, _: files["config.json"].update(size=10**7)),
        MODEL,
        ("config.json", "10.0 MB"),
    ),
    "no-hash": (_listing(lambda files, _: files["config.json"].pop("blobId")), MODEL, ("config.json", "hash")),
    "not-json": (None, {**MODEL, "config.json": b"{"}, ("config.json", "no JSON")),
    "a-list": (None, {**MODEL, "config.json": b"[1]"}, ("config.json", "list")),
    "deep": (None, {**MODEL, "config.json": b"[" * 100_000}, ("config.json", "no JSON")),
    "transformer": (
        None,
        {"config.json": b'{"architectures": ["BertModel"], "model_type": "bert"}', "model.safetensors": b"0"},
        ("bert of Transformers", "expected generator_weights.h5"),
    ),
    "other-library": (None, {"config.json": b'{"library_name": "timm"}', "model.pt": b"0"}, ("timm",)),
    "pictures": (None, {"a.png": b"0", "b.png": b"0"}, ("no weights that we read", "a.png, b.png")),
    "down": (_status, MODEL, ("try again later", "503")),
}


@pytest.fixture(scope="module")
def refusals(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What is said about each bad repository; one process asks for all of them."""
    home = tmp_path_factory.mktemp("bad")
    for name, (spoil, content, _) in BAD_REPOSITORIES.items():
        repo = hub.add(f"bad/{name}", content)
        if spoil:
            spoil(repo)
    answers = ask([(f"bad/{name}",) for name in BAD_REPOSITORIES], environment(hub, home))
    assert not list(home.rglob("*.bashrc")) and not list(home.glob("hub/*parent*/**/*.h5"))
    return dict(zip(BAD_REPOSITORIES, answers, strict=True))


@pytest.mark.parametrize("name", BAD_REPOSITORIES)
def test_a_bad_repository_is_refused(name: str, refusals: dict[str, str], hub: Hub) -> None:
    assert refusals[name].startswith("refused: ")
    for word in BAD_REPOSITORIES[name][2]:
        assert word in refusals[name]
    if name in ("huge", "parent", "absolute", "transformer", "other-library"):
        fetched = [request for request in hub.requests if f"bad/{name}/resolve" in request and "config" not in request]
        assert not fetched  # refused before anything large was asked for


def test_names_revisions_and_rights(hub: Hub, home: Path) -> None:
    hub.add("user/plain", MODEL)
    hub.add("user/private", MODEL, private=True)
    hub.add("user/gated", MODEL, gated=True)
    cases = {
        ("user/nothing",): ("no model repository user/nothing", "hf auth login"),
        ("user/private",): ("private", "hf auth login"),
        ("user/gated",): ("gated", "ask for access"),
        ("user/plain", "v9"): ("no revision 'v9'",),
        ("user/plain", "../../x"): ("no name of a branch",),
        ("user/fl--owers",): ("neither a folder",),
        ("../plain",): ("neither a folder",),
        ("plain",): ("neither a folder", "user/flowers"),
        (str(REPOSITORY / "README.md"),): ("is a file",),
        (str(REPOSITORY), "v1"): ("is a folder and has no revision",),
    }
    for answer, words in zip(ask(list(cases), environment(hub, home)), cases.values()):
        assert answer.startswith("refused: ") and all(word in answer for word in words), answer
    private, gated = ask([("user/private",), ("user/gated",)], environment(hub, home, HF_TOKEN=READ_TOKEN))
    assert Path(private).is_dir() and Path(gated).is_dir()  # the large file's host was sent no token: it refuses one
    (answer,) = ask([("user/plain",)], environment(hub, home, HF_TOKEN="hf_expired"))
    assert "does not accept your token" in answer and "hf_expired" not in answer


def test_foreign_models_of_known_layouts_come_through(hub: Hub, home: Path) -> None:
    hub.add(
        "user/butterflies", {"config.json": b'{"image_size": 64}', "model.pt": b"0", "run.py": b"", "model.bin": b""}
    )
    hub.add("user/weights-only", {"generator_weights.h5": b"0"})
    butterflies, bare = ask([("user/butterflies",), ("user/weights-only",)], environment(hub, home))
    assert file_names(butterflies) == ["config.json", "model.pt"]
    assert file_names(bare) == ["generator_weights.h5"]


def test_without_the_library_folders_work_and_repositories_are_refused(tmp_path: Path) -> None:
    code = f"""
import sys
sys.modules["huggingface_hub"] = None
from sle_gan import hub
print(hub.local_folder({str(tmp_path)!r}))
hub.local_folder("user/flowers")
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}
    )
    assert result.stdout.strip() == str(tmp_path)
    assert "UserError" in result.stderr and "pip install 'sle-gan[hub]'" in result.stderr


parts = st.sampled_from(["a", "..", ".", "", "b.h5", "C:", "~", "generator_weights.h5", " ", "...", "a\n", "\0"])


@given(st.lists(parts, min_size=1, max_size=5), st.sampled_from(["/", "\\"]))
def test_no_name_that_leads_out_of_a_folder_is_accepted(names: list[str], separator: str) -> None:
    name = separator.join(names)
    listed = files.Listed(name, 1, "0" * 64, None)
    resolved = os.path.normpath(Path("/some/model") / name.replace("\\", "/"))
    try:
        known = files.check_listing([listed], "user/x")
    except UserError:
        return
    assert resolved.startswith("/some/model/") and set(known) <= {"generator_weights.h5"}


@pytest.fixture(scope="module")
def generator_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "generator_weights.h5"
    Generator(64, width=8, latent=16).save_weights(path)
    return path


def test_push_and_generate_through_the_commands(hub: Hub, home: Path, generator_file: Path, tmp_path: Path) -> None:
    env = environment(hub, home, HF_TOKEN=TOKEN)
    result = run(
        "share", "--weights", generator_file, "--push", "user/new", "--license", "cc0-1.0", "--private", env=env
    )
    assert result.returncode == 0, result.stderr
    repo = hub.repos["user/new"]
    commit = repo.refs["main"]
    assert f"pushed to {hub.url}/user/new (private), commit {commit}" in result.stdout
    assert repo.private and sorted(repo.files) == [
        ".gitattributes", "README.md", "config.json", "generator_weights.h5", "samples.png"
    ]  # fmt: skip
    assert repo.files["generator_weights.h5"] == generator_file.read_bytes()
    assert b'license: "cc0-1.0"' in repo.files["README.md"] and b"--model user/new" in repo.files["README.md"]

    out = ("--count", 2, "--output-folder", tmp_path / "out")
    result = run("generate", "--model", "user/new", "--revision", commit, *out, env=env)
    assert result.returncode == 0 and f"user/new is at commit {commit}" in result.stdout, result.stderr
    expected = next(sle_gan.generate_images(sle_gan.load_generator(generator_file), range(2)))
    for seed in range(2):
        with Image.open(tmp_path / "out" / f"{seed:06d}.png") as image:
            np.testing.assert_array_equal(np.asarray(image), expected[seed])


PUSH = """
import json, sys
from pathlib import Path
from sle_gan.errors import UserError
from sle_gan.hub.upload import Destination

folder, *calls = json.load(sys.stdin)
for call in calls:
    try:
        print(*Destination(*call).push(Path(folder)))
    except UserError as error:
        print("refused:", error)
"""


def push(folder: Path, calls: list[tuple[Any, ...]], env: dict[str, str]) -> list[str]:
    data = json.dumps([str(folder), *calls])
    result = subprocess.run([sys.executable, "-c", PUSH], input=data, env=env, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    folder = tmp_path / "shared"
    folder.mkdir()
    for name in ("config.json", "generator_weights.h5", "samples.png"):
        (folder / name).write_bytes(MODEL.get(name, b"picture"))
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# A card")
    (folder / "secret.txt").write_text("not to be sent")
    return folder


def test_a_second_push_replaces_the_first(hub: Hub, home: Path, shared: Path) -> None:
    hub.add("user/twice", {**MODEL, "discriminator_weights.h5": b"old", "hand-written.md": b"kept"})
    (answer,) = push(shared, [("user/twice",)], environment(hub, home, HF_TOKEN=TOKEN))
    assert answer == f"{hub.url}/user/twice {hub.repos['user/twice'].refs['main']} False"
    sent = hub.repos["user/twice"].files
    assert "discriminator_weights.h5" not in sent  # of another training than the generator that is there now
    assert "secret.txt" not in sent and sent["hand-written.md"] == b"kept"
    assert sent["samples.png"] == b"picture"


def test_pushes_that_are_refused_send_nothing(hub: Hub, home: Path, shared: Path) -> None:
    hub.add("user/public", MODEL)
    hub.add("user/bert", {"config.json": b'{"model_type": "bert"}'})
    hub.add("user/torch", {"pytorch_model.bin": b"0"})
    before = {name: dict(repo.commits) for name, repo in hub.repos.items()}
    cases = {
        ("user/public", True): "exists and is public",
        ("user/bert",): "holds another model (config.json)",
        ("user/torch",): "holds another model (pytorch_model.bin)",
        ("somebody/else",): "your token may not do that with somebody/else",
        ("flowers",): "neither a folder",
    }
    for answer, words in zip(push(shared, list(cases), environment(hub, home, HF_TOKEN=TOKEN)), cases.values()):
        assert answer.startswith("refused: ") and words in answer
    for env, words in (
        ({}, "no token"),
        ({"HF_TOKEN": "hf_wrong"}, "does not accept your token"),
        ({"HF_TOKEN": READ_TOKEN}, "may not do that"),
        ({"HF_TOKEN": TOKEN, "HF_ENDPOINT": DEAD}, "check the network"),
        ({"HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"),
    ):
        (answer,) = push(shared, [("user/fresh",)], environment(hub, home, **env))
        assert answer.startswith("refused: ") and words in answer and "hf_wrong" not in answer
    (shared / "README.md").write_text("---\nlicense: [1\n---\n")
    (answer,) = push(shared, [("user/public",)], environment(hub, home, HF_TOKEN=TOKEN))
    assert "metadata in README.md" in answer
    assert {name: dict(repo.commits) for name, repo in hub.repos.items()} == before


def test_share_refuses_before_it_works(hub: Hub, home: Path, generator_file: Path, tmp_path: Path) -> None:
    env = environment(hub, home)
    weights = ("--weights", generator_file)
    assert_refused(run("share", *weights, "--push", "user/a", env=env), "no token", "hf auth login")
    assert_refused(run("share", *weights), "--folder", "--push")
    assert_refused(run("share", "--folder", tmp_path / "x", env=env), "--name", "--weights")
    assert_refused(run("share", *weights, "--folder", tmp_path / "x", "--private"), "--private", "--push")
    assert_refused(run("share", *weights, "--folder", tmp_path / "x", "--license", "A b"), "--license", "'A b'")
    assert_refused(run("share", "--name", "none", "--output-folder", tmp_path, "--folder", tmp_path / "x"), "none")
    assert_refused(run("share", "--folder", tmp_path, "--push", "user/a", env=env), "no model that sle-gan share made")
    assert_refused(run("generate", "--model", "user/none", "--grid", tmp_path / "g.png", env=env), "user/none")
    assert_refused(run("generate", "--model", "user/none", *weights, "--grid", tmp_path / "g.png"), "either")
    assert_refused(run("generate", *weights, "--revision", "v1", "--grid", tmp_path / "g.png"), "--revision")
    assert not (tmp_path / "x").exists() and "user/a" not in hub.repos
