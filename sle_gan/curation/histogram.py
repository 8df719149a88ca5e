"""Histograms with a threshold in them, as SVG for a page."""

from __future__ import annotations

import html

import numpy as np

_WIDTH, _HEIGHT, _BINS = 640, 166, 48
_LEFT, _RIGHT, _TOP, _BOTTOM = 10, 10, 30, 30


def histogram(values: np.ndarray, threshold: float | None, dropped_above: bool, form: str) -> str:
    """An <svg> of how many pictures have which value; what lies beyond the threshold is in another colour.

    values: float; NaN is left out. form: how numbers are written, such as ".2f".
    """
    values = values[np.isfinite(values)]
    if not len(values):
        return ""
    low, high = _range(values, threshold)
    counts, edges = np.histogram(np.clip(values, low, high), _BINS, (low, high))
    # Roots: what is dropped is a few among thousands, and must be seen.
    tops = np.sqrt(counts / max(1, counts.max()))
    step = (_WIDTH - _LEFT - _RIGHT) / _BINS
    body = []
    for index, top in enumerate(tops):
        if not counts[index]:
            continue
        middle = (edges[index] + edges[index + 1]) / 2
        out = threshold is not None and (middle > threshold if dropped_above else middle < threshold)
        tall = max(2.0, top * (_HEIGHT - _TOP - _BOTTOM))
        place = f'x="{_LEFT + index * step:.1f}" y="{_HEIGHT - _BOTTOM - tall:.1f}"'
        title = f"{edges[index]:{form}} to {edges[index + 1]:{form}}: {counts[index]:,}"
        body.append(
            f'<rect class="{"out" if out else "in"}" {place} width="{step - 1:.1f}" height="{tall:.1f}">'
            f"<title>{html.escape(title)}</title></rect>"
        )
    return _framed("".join(body), (low, high), (values.min(), values.max()), threshold, form)


def _range(values: np.ndarray, threshold: float | None) -> tuple[float, float]:
    """What is drawn: all but far outliers, and the threshold always."""
    low, high = np.percentile(values, (0.2, 99.8)) if len(values) > 500 else (values.min(), values.max())
    if threshold is not None:
        low, high = min(low, threshold), max(high, threshold)
    margin = (high - low) * 0.04 or 0.5
    return float(low - margin), float(high + margin)


def _framed(
    bars: str, drawn: tuple[float, float], found: tuple[float, float], threshold: float | None, form: str
) -> str:
    low, high = drawn
    base = _HEIGHT - _BOTTOM
    labels = [
        f'<text x="{_LEFT}" y="{_HEIGHT - 8}">{found[0]:{form}}</text>',
        f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 8}" text-anchor="end">{found[1]:{form}}</text>',
    ]
    if threshold is not None:
        x = _LEFT + (threshold - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)
        anchor = "end" if x > _WIDTH * 0.8 else "start"
        offset = -5 if anchor == "end" else 5
        labels.append(
            f'<line class="cut" x1="{x:.1f}" y1="4" x2="{x:.1f}" y2="{base}"/>'
            f'<text class="cut" x="{x + offset:.1f}" y="20" text-anchor="{anchor}">{threshold:.3g}</text>'
        )
    return (
        f'<svg class="histogram" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">{bars}'
        f'<line class="axis" x1="{_LEFT}" y1="{base}" x2="{_WIDTH - _RIGHT}" y2="{base}"/>{"".join(labels)}</svg>'
    )
