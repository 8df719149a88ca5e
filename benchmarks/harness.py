"""What the benchmarks share: processes that run in turn, and their numbers as JSON, table and plot.

A benchmark is a program that prints a line "N images/s" and may print a line `RESULT {...}` with more numbers. Its peak
memory is the operating system's number, unless it hands one over: that of the part that counts.
"""

from __future__ import annotations

import json
import os
import platform
import re
import resource
import shlex
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# What is measured is this checkout, whatever else is installed.
REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

Row = dict[str, Any]
RESULT = "RESULT "


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> tuple[float, float, str]:
    """Runs a command; returns its images per second, its peak memory in GB and its output.

    Args:
        environment: variables that are set beside those of this process.
    """
    process = subprocess.Popen(
        list(command), stdout=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})}
    )
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    found = re.findall(r"([\d.]+) images/s", output)
    if status or not found:
        sys.exit(f"{shlex.join(command)} ended with {status} and printed no 'N images/s':\n{output}")
    return float(found[-1]), _gigabytes(usage), output


def peak_memory_gb() -> float:
    """This process's largest resident set until now."""
    return _gigabytes(resource.getrusage(resource.RUSAGE_SELF))


def _gigabytes(usage: Any) -> float:
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes on macOS, in KiB on Linux
    return usage.ru_maxrss * unit / 1e9


def report(**numbers: Any) -> None:
    """Prints what a measured process has to say beside its images per second."""
    print(RESULT + json.dumps(numbers), flush=True)


def reported(output: str) -> Row:
    """The numbers that a process handed to `report`; none if it is a stranger's."""
    lines = [line for line in output.splitlines() if line.startswith(RESULT)]
    return json.loads(lines[-1].removeprefix(RESULT)) if lines else {}


def interleave(
    commands: Mapping[str, Sequence[str]], rounds: int, environment: Mapping[str, str] | None = None
) -> list[Row]:
    """Runs the commands A B A B, each time in a new process, so that all see the same states of the machine."""
    rows = []
    for number in range(1, rounds + 1):
        for who, command in commands.items():
            speed, memory, output = run(command, environment)
            row = {"round": number, "who": who, "images_per_s": speed, "memory_gb": memory, **reported(output)}
            first = f", first step after {row['first_step_s']:.1f} s" if "first_step_s" in row else ""
            print(f"round {number} {who:6} {speed:9.3f} images/s {row['memory_gb']:6.2f} GB{first}", flush=True)
            rows.append(row)
    return rows


def summarize(rows: Sequence[Row]) -> Row:
    """Medians over the rounds of one combination of settings; a peak of memory is the largest one.

    With a second program: its speed and memory, and the median over the rounds of the ratio of both speeds.
    """
    ours, theirs = ([row for row in rows if row["who"] == who] for who in ("ours", "theirs"))
    numbers = [name for name, value in ours[0].items() if isinstance(value, float)]
    summary = {name: statistics.median(row[name] for row in ours) for name in numbers}
    summary["memory_gb"] = max(row["memory_gb"] for row in ours)
    if theirs:
        summary["their_images_per_s"] = statistics.median(row["images_per_s"] for row in theirs)
        summary["their_memory_gb"] = max(row["memory_gb"] for row in theirs)
        ratios = [a["images_per_s"] / b["images_per_s"] for a, b in zip(ours, theirs)]
        summary["ratio"] = statistics.median(ratios)
    return summary


def table(rows: Sequence[Row], columns: Mapping[str, str]) -> str:
    """A Markdown table of the columns (key -> heading) that any row has."""
    present = {key: heading for key, heading in columns.items() if any(key in row for row in rows)}
    lines = [" | ".join(present.values()), " | ".join("---" for _ in present)]
    lines += [" | ".join(_cell(row.get(key)) for key in present) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def plot(rows: Sequence[Row], labels: Sequence[str], path: str) -> None:
    """Bars of images per second, ours and theirs, one pair for each row."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 1 + 0.6 * len(rows)), layout="constrained")
    for shift, key, name in ((-0.2, "images_per_s", "SLE-GAN"), (0.2, "their_images_per_s", "the other program")):
        values = [row.get(key, 0.0) for row in rows]
        if any(values):
            bars = axes.barh([i + shift for i in range(len(rows))], values, height=0.38, label=name)
            axes.bar_label(bars, fmt="%.3g", padding=3)
    axes.set_yticks(range(len(rows)), labels)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel("images/s")
    axes.legend()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def machine() -> Row:
    """Where the numbers were measured, and how busy it was."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": load,
        "python": platform.python_version(),
        "system": platform.system(),
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    found = re.search(r"model name\s*: (.*)", text)
    return found.group(1) if found else platform.processor()


def write_json(path: str, settings: Row, rows: Sequence[Row], summaries: Sequence[Row]) -> None:
    text = json.dumps({"machine": machine(), "settings": settings, "summaries": summaries, "rounds": rows}, indent=2)
    Path(path).write_text(text + "\n", encoding="utf-8")
