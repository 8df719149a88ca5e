"""The tab of training runs: how they stand, and what they drew."""

from __future__ import annotations

from typing import Any

from sle_gan.studio.page import Page
from sle_gan.studio.widgets import QUICK, WHILE_MOVING, picture_box

_SECONDS = 5


def add_runs(page: Page, tab: Any) -> None:
    """Everything about a run, looked at again while it trains."""
    import gradio as gr

    names = page.runs.names()
    with gr.Row():
        name = gr.Dropdown(names, value=names[0] if names else None, label="Run", scale=3, min_width=200)
        live = gr.Checkbox(value=True, label=f"look again every {_SECONDS} seconds", scale=2, min_width=200)
        use = gr.Button("Use its generator", scale=1, min_width=160, visible=page.model is not None)
    summary = gr.Markdown(elem_id="standing")
    with gr.Row():
        with gr.Column(min_width=280):
            grid = picture_box("Samples", height=None, elem_id="grid")
            at = gr.Slider(0, 1, value=0, step=1, label="Samples over time", info="from the first to the newest")
        with gr.Column(min_width=280):
            fid = picture_box("FID over the steps", height=None, visible=False)
    curves = picture_box("Losses and speed over the steps", height=None, elem_classes="curves", elem_id="curves")
    seen = gr.State(None)
    timer = gr.Timer(_SECONDS, active=False)

    def look(chosen: str | None, position: float, before: Any) -> dict[Any, Any]:
        """All of a run, where it has changed; the newest samples are followed while they are shown."""
        now = page.runs.names()
        if not now:
            return {summary: "There is no run yet."}
        chosen = chosen if chosen in now else now[0]
        standing = page.runs.standing(chosen)
        if before is not None and before[:2] == (chosen, standing.version):
            return {summary: standing.summary}
        last = max(len(standing.steps) - 1, 0)
        follows = before is None or before[0] != chosen or position >= before[2]
        number = last if follows else int(position)
        caption = f"step {standing.steps[number]:,}" if standing.steps else "none yet"
        return {
            name: gr.Dropdown(choices=now, value=chosen),
            summary: standing.summary,
            grid: page.runs.grid(chosen, number)[0] if standing.steps else None,
            at: gr.Slider(maximum=max(last, 1), value=number, interactive=last > 0, info=caption),
            curves: standing.curves,
            fid: gr.Image(value=standing.fid, visible=standing.fid is not None),
            seen: (chosen, standing.version, last),
        }

    def turn(chosen: str, position: float) -> tuple[Any, Any]:
        file, caption = page.runs.grid(chosen, position)
        return file, gr.Slider(info=caption)

    def choose(chosen: str | None) -> Any:
        page.actions.shelf.generator(chosen or "")
        return gr.Dropdown(choices=page.actions.shelf.generators(), value=chosen)

    page.on([tab.select, name.input, timer.tick], look, [name, at, seen], [name, summary, grid, at, curves, fid, seen],
            show_progress="hidden", trigger_mode="once", concurrency_id="runs", concurrency_limit=1)  # fmt: skip
    page.on([at.input], turn, [name, at], [grid, at], **WHILE_MOVING)
    if page.model is not None:
        page.on([use.click], choose, name, page.model, **QUICK)
    switch: dict[str, Any] = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}
    tab.select(lambda live: gr.Timer(active=live), live, timer, **switch)
    live.input(lambda live: gr.Timer(active=live), live, timer, **switch)
