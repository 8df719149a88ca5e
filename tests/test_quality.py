"""The race for equal processor time: its clock, what it keeps, and the whole command at the smallest size."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers import REPOSITORY
from PIL import Image

sys.path.insert(0, str(REPOSITORY / "benchmarks"))

import quality
import race

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the clock reads /proc")

# A program of the contract: three folders of pictures, 0.3 s of work before each of them, and 0.8 s of making the
# pictures, which is not to count.
PEER = """
import pathlib, sys, time
from PIL import Image

out, count = pathlib.Path(sys.argv[1]), int(sys.argv[2])

def work(seconds):
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass

for step in (10, 20, 30):
    work(0.3)
    (out / ".paused").touch()
    work(0.8)
    folder = out / f".{step}"
    folder.mkdir()
    for i in range(count):
        Image.effect_noise((24, 24), 10 * i + step).convert("RGB").save(folder / f"{i}.png")
    folder.rename(out / str(step))
    (out / ".paused").unlink()
if len(sys.argv) > 3:
    work(60)
"""


def peer(folder: Path, *more: str) -> race.Peer:
    (folder / "peer.py").write_text(PEER)
    command = f"{sys.executable} {folder / 'peer.py'} {folder / 'peer' / 'out'} 3 {' '.join(more)}"
    return race.Peer("against", 1, folder / "peer", command)


def test_the_clock_counts_threads_and_children_that_live_and_that_have_ended() -> None:
    code = (
        "import subprocess, sys, threading, time\n"
        "def work():\n"
        "    until = time.thread_time() + 0.3\n"
        "    while time.thread_time() < until: pass\n"
        "busy = 'import time\\nwhile time.process_time() < 0.3: pass\\nprint(1, flush=True)\\ninput()'\n"
        "busy = [sys.executable, '-c', busy]\n"
        "threads = [threading.Thread(target=work) for _ in range(2)]\n"
        "[thread.start() for thread in threads]; [thread.join() for thread in threads]\n"
        "subprocess.run(busy, input='\\n', text=True, stdout=subprocess.PIPE)\n"
        "child = subprocess.Popen(busy, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)\n"
        "child.stdout.readline()\n"
        "print('done', flush=True); input(); child.communicate('\\n')\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "done\n"
    counted = race.cpu_seconds(process.pid)
    process.communicate("\n")
    assert 1.1 < counted < 3  # two threads, two children, 0.3 s each, and the interpreters' starts
    assert race.cpu_seconds(process.pid) == 0


def test_a_program_that_ends_by_itself_is_kept_whole_and_not_trained_again(tmp_path: Path) -> None:
    entrant = peer(tmp_path)
    state = race.train(entrant, seconds=1000, points=5000, cpus=sorted(os.sched_getaffinity(0))[:1])
    assert state.ended == "finished"
    assert state.kept[-1].path == "out/30"
    for kept in state.kept:  # each of the three, unless the machine was so busy that one look found two
        assert kept.path == f"out/{kept.step}"
    times = [kept.cpu_s for kept in state.kept]
    assert times == sorted(times) and 0.4 < state.cpu_s < 2.6  # without most of the 2.4 s of making pictures
    assert race.State.read(entrant.file) == state
    (entrant.folder / "out" / "10").rename(entrant.folder / "out" / "11")
    assert race.train(peer(tmp_path), 1000, 1000, [0]) == state
    with pytest.raises(SystemExit, match="give another --output-folder"):
        race.train(peer(tmp_path, "longer"), 1000, 1000, [0])


def test_the_time_ends_a_program_and_marks_choose_what_is_kept(tmp_path: Path) -> None:
    state = race.train(peer(tmp_path, "longer"), seconds=2.5, points=1, cpus=sorted(os.sched_getaffinity(0))[:1])
    assert state.ended == "time" and 2.5 <= state.cpu_s < 4  # it has no handler for SIGTERM: no minute longer
    assert [kept.step for kept in state.kept] == [30]  # before the mark, so only the last one


@pytest.mark.parametrize("number", (signal.SIGTERM, signal.SIGHUP))
def test_a_race_that_is_ended_ends_what_it_trains(tmp_path: Path, number: signal.Signals) -> None:
    code = (
        "import sys; from pathlib import Path; import race; race.end_when_asked();"
        "peer = race.Peer('against', 1, Path(sys.argv[1]), 'echo $$; exec sleep 1000');"
        "race.train(peer, 1000, 1, [min(race.os.sched_getaffinity(0))])"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path)]
    process = subprocess.Popen(
        arguments, cwd=REPOSITORY / "benchmarks", preexec_fn=lambda: signal.signal(number, signal.SIG_DFL)
    )
    output = tmp_path / "output.txt"
    while not (output.exists() and output.read_text().endswith("\n")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait() == 128 + number
    assert not Path(f"/proc/{int(output.read_text())}").exists()


def test_a_program_that_fails_says_so(tmp_path: Path) -> None:
    entrant = race.Peer("against", 1, tmp_path / "peer", "echo no such thing; exit 3")
    state = race.train(entrant, 10, 2, [min(os.sched_getaffinity(0))])
    assert state.ended == "exit code 3" and not state.kept
    assert "no such thing" in (tmp_path / "peer" / "output.txt").read_text()


def test_exports_of_a_run_are_copied_when_they_are_new(tmp_path: Path) -> None:
    export = tmp_path / "run" / "generator_weights.h5"
    (export.parent / "checkpoints").mkdir(parents=True)
    export.write_bytes(b"of an earlier session")
    run = race.Run("a", 1, tmp_path, ["python", "train"], ["--width", "8"])
    assert list(run.made()) == [] and run.command()[-1] == "--override"
    for step, content in ((50, b"first"), (100, b"second")):
        (export.parent / "checkpoints" / f"step_{step:08}.npz").touch()
        new = export.with_suffix(".new")
        new.write_bytes(content)
        new.replace(export)
        assert list(run.made()) == [("run/generator_weights.h5", step)] and list(run.made()) == []
        kept = run.keep(race.Kept("run/generator_weights.h5", step / 10, step))
        assert (tmp_path / kept.path).read_bytes() == content
    assert run.command()[-1] == "--resume"
    assert len(list((tmp_path / "kept").iterdir())) == 2


def row(entrant: str, number: int, minutes: float, fid: float) -> dict[str, object]:
    return {"entrant": entrant, "round": number, "cpu_min": minutes, "x_fid": fid, "x_recall": fid / 100}


def test_summaries_by_hand() -> None:
    rows = [row("a", 1, 1, 9), row("a", 1, 2, 6), row("a", 2, 1, 7), row("a", 2, 2, 8)]
    rows += [row("b", 1, 1, 5), row("b", 1, 2, 3), row("b", 2, 1, 8), row("b", 2, 2, 4)]
    first, second = quality._summaries(rows, ["x"])
    assert first == {"entrant": "a", "x_last": 7, "x_last_recall": 0.07, "x_best": 6.5, "x_best_min": 1.5}
    assert (second["x_last"], second["x_best"], second["x_passes_min"]) == (3.5, 3.5, 1.5)  # 1 and 2 minutes


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for i in range(16):
        Image.fromarray(random.integers(0, 256, (72, 72, 3), np.uint8)).save(folder / f"{i}.png")
    yield folder


def measure(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "quality.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_mistakes_are_one_line(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = ["--data-folder", str(pictures), "--output-folder", str(tmp_path / "out")]
    for arguments, message in (
        ([], "--models: give some"),
        (["--models", "stylegan"], "--models stylegan: expected some of slegan"),
        (["--models", "cyclegan"], "pictures from noise"),
        (["--models", "slegan", "slegan"], "a label of its own"),
        (["--models", "slegan", "--flags", "--width 8"], "expected LABEL=FLAGS with a label of all, slegan"),
        (["--models", "slegan", "--minutes", "0"], "--minutes 0"),
        (["--models", "slegan", "--count", "3"], "--count 3"),
        (["--models", "slegan", "--data-folder", "nowhere"], "--data-folder nowhere is no folder"),
    ):
        with pytest.raises(quality.UserError) as caught:
            quality.main([*good, *arguments])
        assert message in str(caught.value) and "\n" not in str(caught.value)
    missing = measure(*good, "--models", "slegan", "--features", "mobilenet=nowhere.h5")
    assert missing.returncode == 2 and "nowhere.h5" in missing.stderr and not (tmp_path / "out" / "slegan_r1").exists()


@pytest.mark.slow
def test_a_race_at_the_smallest_size(pictures: Path, mobilenet_weights: Path, tmp_path: Path) -> None:
    """Two models and a program; then for longer, which goes on with the runs and scores nothing twice."""
    (tmp_path / "peer.py").write_text(PEER)
    out = tmp_path / "out"
    arguments = ["--data-folder", pictures, "--output-folder", out, "--tiny", "--threads", 1]
    arguments += ["--models", "slegan", "small:dcgan", "--flags", "small=--no-flip", "--features"]
    arguments += [
        f"mobilenet={mobilenet_weights}",
        "--against",
        f"{sys.executable} {tmp_path / 'peer.py'} {{out}} {{count}}",
    ]
    result = measure(*arguments)
    assert result.returncode == 0, result.stderr
    results = json.loads((out / "quality.json").read_text())
    rows = results["rounds"]
    assert {row["entrant"] for row in rows} == {"slegan", "small", "against"}
    for entrant in ("slegan", "small"):
        curve = [row for row in rows if row["entrant"] == entrant]
        assert len(curve) >= 2 and curve[-1]["step"] > curve[0]["step"]
        assert 0.4 <= curve[-1]["cpu_min"] < 0.6
    assert all(row["mobilenet_fid"] > 0 and 0 <= row["mobilenet_recall"] <= 1 for row in rows)
    assert json.loads((out / "small_r1" / "run" / "config.json").read_text())["flip"] is False
    assert "mobilenet: Fréchet" in result.stdout and (out / "quality.png").stat().st_size > 10_000
    assert len(list((out / "grids").glob("*.png"))) == len(rows)

    again = measure(*arguments)
    assert again.returncode == 0 and json.loads((out / "quality.json").read_text())["rounds"] == rows
