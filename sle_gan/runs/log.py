"""log.jsonl of a run: one JSON object for each step, and for each measured FID."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log.jsonl; a last line that a killed process left unfinished is passed over."""
    lines = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and "step" in line:
            lines.append(line)
    return lines


def scored_steps(log: Path) -> list[dict[str, Any]]:
    """The lines of a log.jsonl that hold a FID."""
    return [line for line in read_log(log) if "fid" in line] if log.exists() else []


def of_one_protocol(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of the lines with a FID that were measured as the last of them was."""

    def like_last(line: dict[str, Any]) -> bool:
        known = line.get("protocol") and lines[-1].get("protocol")  # older versions did not note it
        keys = ("extractor", "count", "real_count", *(["protocol"] if known else []))
        return all(line.get(key) == lines[-1].get(key) for key in keys)

    return [line for line in lines if like_last(line)]
