"""The benchmarks: floating-point operations that a hand can count, tables, and the commands at the smallest size."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from helpers import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "benchmarks"))

import classes
import flops
import harness
import loading
import plot
import training


def run(script: str, *arguments: object) -> str:
    command = [sys.executable, str(REPOSITORY / "benchmarks" / script), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def count(step: Any, *shapes: tuple[int, ...]) -> dict[str, int]:
    tf = pytest.importorskip("tensorflow")
    return flops.of_function(tf.function(step), *(tf.zeros(shape) for shape in shapes))


def test_a_convolution_and_its_gradients_cost_the_same() -> None:
    tf = pytest.importorskip("tensorflow")

    def step(x: Any, kernel: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            y = tf.nn.conv2d(x, kernel, 2, "SAME")
        tf.nn.conv2d(x, kernel, 1, "SAME")  # unused: TensorFlow does not run it
        return tape.gradient(y, [x, kernel])

    # 3 images of 8x6, halved: 3 * 4 * 3 pixels, for each 5 filters of 4x4 over 7 channels, 2 each.
    one = 2 * (3 * 4 * 3) * 5 * (4 * 4 * 7)
    counted = count(step, (3, 8, 6, 7), (4, 4, 7, 5))
    assert counted == {"Conv2DBackpropInput": one, "Conv2DBackpropFilter": one}


def test_matrix_products() -> None:
    tf = pytest.importorskip("tensorflow")
    assert count(lambda a, b: tf.matmul(a, b, transpose_a=True), (5, 2), (5, 3)) == {"MatMul": 2 * 2 * 5 * 3}
    assert count(lambda a, b: tf.matmul(a, b), (4, 2, 5), (4, 5, 3)) == {"BatchMatMulV2": 2 * 4 * 2 * 5 * 3}
    assert count(lambda a, b: tf.einsum("bij,bjc->bic", a, b), (4, 2, 5), (4, 5, 3)) == {"Einsum": 2 * 4 * 2 * 5 * 3}


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_the_rate_of_matrix_products_in_every_precision(precision: str) -> None:
    assert training.matrix_product_rate(precision, size=8, repeats=1) > 0


@pytest.mark.slow
def test_a_training_step_at_256_pixels() -> None:
    """By layer and by hand: G 19.5 GFLOP forward, D 10.9 on a real image and 3.3 on a fake one.

    G and both of D's updates count three times (forward and two gradients), the generator's loss through D twice:
    D's kernels get no gradient there.
    """
    counted = json.loads(run("flops.py", "--resolution", 256, "--batch-size", 8))
    assert counted["model_flops"] / 8e9 == pytest.approx(3 * (19.5 + 10.9 + 3.3) + 2 * 3.3, rel=0.01)
    assert counted["executed_flops"] < 0.75 * counted["model_flops"]


def test_medians_ratios_and_the_largest_peak() -> None:
    rows = [
        {"round": i, "who": who, "images_per_s": speed, "memory_gb": memory}
        for i, (who, speed, memory) in enumerate(
            [("ours", 4.0, 1.0), ("theirs", 2.0, 3.0), ("ours", 9.0, 2.0), ("theirs", 3.0, 5.0)]
        )
    ]
    summary = harness.summarize(rows)
    assert summary == {
        "images_per_s": 6.5,
        "memory_gb": 2.0,
        "their_images_per_s": 2.5,
        "their_memory_gb": 5.0,
        "ratio": 2.5,  # of 2 and 3
    }


def test_a_table_has_the_columns_that_there_are() -> None:
    rows = [{"a": "x", "b": 0.123456}, {"a": "y", "b": 1234.5, "c": 7}]
    lines = harness.table(rows, {"a": "A", "b": "B", "c": "C", "d": "D"}).splitlines()
    assert lines == ["| A | B | C |", "| --- | --- | --- |", "| x | 0.123 |  |", "| y | 1234 | 7 |"]


def test_the_programs_take_turns(tmp_path: Path) -> None:
    log = tmp_path / "log"
    commands = {
        who: [sys.executable, "-c", f"open({str(log)!r}, 'a').write({who[0]!r}); print('{speed} images/s')"]
        for who, speed in (("ours", 2.0), ("theirs", 1.0))
    }
    rows = harness.interleave(commands, 3)
    assert log.read_text() == "ototot"
    assert harness.summarize(rows)["ratio"] == 2.0
    with pytest.raises(SystemExit, match="printed no 'N images/s'"):
        harness.run([sys.executable, "-c", "print('nothing')"])


@pytest.mark.slow
def test_training_from_flags_to_json_and_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    theirs = f"{sys.executable} -c \"print('{{resolution}} images/s')\""
    options = ["--model", "dcgan", "--resolution", 32, "--width", 4, "--batch-size", 2, "--steps", 1, "--rounds", 1]
    files = ["--json", tmp_path / "out.json", "--plot", tmp_path / "out.png"]
    out = run("training.py", *options, "--against", theirs, *files)
    written = json.loads((tmp_path / "out.json").read_text())
    (summary,) = written["summaries"]
    assert [row["who"] for row in written["rounds"]] == ["ours", "theirs"]
    assert summary["their_images_per_s"] == 32 and summary["ratio"] == pytest.approx(summary["images_per_s"] / 32)
    assert summary["model_gflop"] > 0 and summary["first_step_s"] > 0 and summary["memory_gb"] > 0.1
    rate = summary["model_gflop"] * summary["images_per_s"] / summary["matrix_gflop_per_s"]
    assert summary["utilization"] == pytest.approx(rate)
    assert "| dcgan | tensorflow | 32 | 2 | float32 |" in out
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


def test_the_loader_beside_slow_steps_and_beside_none() -> None:
    row = loading.main(["--resolution", "32", "--pictures", "20", "--steps", "20", "--images-per-second", "400"])
    assert row["loader_images_per_s"] > 400 and row["waiting_percent"] < 20


def test_settings_of_every_gan() -> None:
    for model, domains in (("slegan", 1), ("dcgan", 1), ("cyclegan", 2), ("lightweight", 1)):
        arguments = SimpleNamespace(model=model, resolution=64, batch_size=2, width=8, precision="bfloat16")
        config, count = training.configure(arguments)
        assert (config.mixed_precision, config.batch_size, count) == ("bfloat16", 2, domains)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ("tensorflow", "jax"))
def test_the_gpu_script_on_a_cpu(engine: str, pictures: Path, tmp_path: Path) -> None:
    pytest.importorskip(engine)
    run("gpu.py", "--tiny", "--no-fid", "--engine", engine, "--data-folder", pictures, "--output-folder", tmp_path)
    assert "| slegan |" in (tmp_path / "steps.md").read_text()
    assert "| 4x4x1024 -> 1024 |" in (tmp_path / "upsampling.md").read_text()
    timed = json.loads((tmp_path / "run.json").read_text())["summaries"][0]
    assert timed["steps"] == 4 and timed["seconds"] > 0
    assert list((tmp_path / "run" / "samples").glob("*.png"))


@pytest.mark.slow
def test_operations_account_for_the_step() -> None:
    printed = run("operations.py", "--resolution", 64, "--width", 8, "--batch-size", 2, "--steps", 1)
    step, inside = map(float, re.findall(r"([\d.]+) s", printed)[:2])
    assert 0.8 * step < inside <= step
    assert "convolutions, gradient of the kernel" in printed


@pytest.mark.slow
def test_generation_against_another_program() -> None:
    other = f"{sys.executable} -c \"print('2.5 images/s')\""
    printed = run("generation.py", "--resolution", 64, "--width", 8, "--batches", 1, "--rounds", 1, "--against", other)
    ours, ratio = float(re.findall(r"round 1 ours +([\d.]+)", printed)[0]), float(printed.split()[-1])
    assert ratio == pytest.approx(ours / 2.5, rel=0.01)


def test_the_nearest_real_picture_says_the_class() -> None:
    real, labels = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 2.0]]), np.array([0, 0, 1])
    made, asked = np.array([[5.0, 0.1], [0.1, 0.5], [3.0, 0.0]]), np.array([0, 1, 1])
    np.testing.assert_array_equal(classes.nearest(made, real), [0, 2, 0])  # by the angle, not the length
    np.testing.assert_array_equal(classes.nearest(real, real, leave_one_out=True), [1, 0, 1])
    assert classes.right_shares(labels[classes.nearest(made, real)], asked, 2) == [1.0, 0.5]


def test_the_labels_of_the_flowers(tmp_path: Path) -> None:
    for i in range(1, 1361):
        (tmp_path / f"image_{i:04d}.jpg").touch()
    assert classes.write_labels(tmp_path, tmp_path / "flowers17.csv") == 1360
    lines = (tmp_path / "flowers17.csv").read_text().splitlines()
    assert lines[1] == "image_0001.jpg,daffodil" and lines[80] == "image_0080.jpg,daffodil"
    assert lines[81] == "image_0081.jpg,snowdrop" and lines[-1] == "image_1360.jpg,pansy"


def test_the_plot_has_the_fastest_setting_of_each_peer(tmp_path: Path) -> None:
    lines = [
        "### Training",
        "| GAN | PyTorch's setting | rounds x steps | ours images/s | theirs | ratio | ours GB |",
        "|---|---|---|---|---|---|---|",
        "| A `--b` | as it is | 1 x 2 | 4 | 1 | 4 | |",
        "| | `torch.compile` | 2 x 4 | 5 | 2 | 2.5 | 3.5 |",
        "| C | as it is | 1 x 2 | 0.5 | 0.25 | 2 | |",
        "",
        "| GAN | PyTorch's setting | rounds x steps | ours images/s | theirs | ratio | ours GB |",
        "|---|---|---|---|---|---|---|",
        "| A `--b` | older | 1 x 2 | 4 | 3 | 1.3 | |",
    ]
    rows = plot.fastest("\n".join(lines))
    assert rows == [plot.Speeds("A --b", 5, 2), plot.Speeds("C", 0.5, 0.25)]
    plot.draw(rows, tmp_path / "speed.png")
    assert (tmp_path / "speed.png").stat().st_size > 5000
    assert len(plot.fastest(plot.README.read_text(encoding="utf-8"))) >= 5
    with pytest.raises(ValueError, match="expected"):
        plot.fastest("### Training\n| A | B |\n|---|---|\n")


@pytest.mark.slow
def test_fid_and_scale_at_the_smallest_size() -> None:
    assert re.search(
        r"4 pictures of 256 px made and scored: \d+ s", run("fid.py", "--count", 4, "--real", 4, "--steps", 1)
    )
    rows = run("scale.py", "pictures", "--count", 8, "--steps", 3).splitlines()[-4:]
    assert [row.split(" | ")[0] for row in rows] == ["| 100", "| first", "| 100_again", "| again"]
    assert all(float(cell) >= 0 for row in rows for cell in row.strip(" |").split(" | ")[1:])
    small = ("--resolution", 64, "--batch-size", 2, "--steps", 1, "--rounds", 1, "--devices", 1, 2)
    devices = run("scale.py", "devices", *small).splitlines()[-2:]
    assert [row.split(" | ")[0] for row in devices] == ["| 1", "| 2"]
