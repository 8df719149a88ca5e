"""The tabs that take a photo: found in a generator, or translated by a CycleGAN."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from sle_gan.latents.points import Point
from sle_gan.pictures import to_pillow
from sle_gan.studio.actions import EFFORTS, Seen
from sle_gan.studio.page import Page
from sle_gan.studio.steering import add_steering
from sle_gan.studio.widgets import LONG, QUICK, WHILE_MOVING, picture_box, seed_box, upload_box

_SHOWN_SECONDS = 0.3  # between pictures of a search


def add_find(page: Page, tab: Any) -> None:
    """A photo found in the generator, and changed there."""
    import gradio as gr

    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            upload = upload_box()
            effort = gr.Radio(list(EFFORTS), value="quick", label="Search")
            gates = gr.Checkbox(label="find the gates too, which comes nearer")
            with gr.Row():
                find = gr.Button("Find it", variant="primary")
                stop = gr.Button("Stop")
        with gr.Column(scale=2, min_width=280):
            with gr.Row():
                with gr.Column(min_width=130):
                    gr.Markdown("Looked for")
                    wanted = picture_box("Looked for", height=280, buttons=[], elem_id="wanted")
                with gr.Column(min_width=130):
                    gr.Markdown("Nearest so far")
                    nearest = picture_box("Nearest so far", height=280, buttons=["download"], elem_id="nearest")
            status = gr.Markdown(
                "Choose a photo: its largest centred part of the pictures' shape is looked for.", elem_id="status"
            )
    found = gr.State(None)
    file = gr.DownloadButton("Download its latents (.npz)", visible=False)
    editing = _add_editing(page, found)

    def search(model: str, upload: str | None, effort: str, gates: bool) -> Iterator[tuple[Any, ...]]:
        photo = page.actions.photo(model, upload)
        yield to_pillow(photo), gr.skip(), "Looking ...", None, gr.skip(), gr.Group(visible=False)
        shown_at, before, seen = 0.0, None, None
        for seen in page.actions.find(model, photo, effort, gates):
            if time.monotonic() - shown_at > _SHOWN_SECONDS:
                shown_at = time.monotonic()
                picture = to_pillow(seen.picture) if seen.point is not before else gr.skip()
                before = seen.point
                yield gr.skip(), picture, _told(seen), seen.point, gr.skip(), gr.skip()
        assert seen is not None
        text = f"Found at step {seen.step}: distance {seen.distance:.4f}. Change it below."
        latents = gr.DownloadButton(value=page.actions.latents_file(seen.point), visible=True)
        yield gr.skip(), to_pillow(seen.picture), text, seen.point, latents, gr.Group(visible=True)

    searching = page.on([find.click], search, [page.model, upload, effort, gates],
                        [wanted, nearest, status, found, file, editing], show_progress="hidden",
                        trigger_mode="once", **LONG)  # fmt: skip

    def stopped(point: Point | None) -> tuple[Any, Any, Any]:
        if point is None:
            return "Stopped.", gr.skip(), gr.skip()
        latents = gr.DownloadButton(value=page.actions.latents_file(point), visible=True)
        return "Stopped. The nearest so far can be changed below.", latents, gr.Group(visible=True)

    page.on([stop.click], stopped, found, [status, file, editing], cancels=[searching], **QUICK)


def _add_editing(page: Page, found: Any) -> Any:
    """What changes the point that was found; hidden until there is one."""
    import gradio as gr

    with gr.Group(visible=False) as editing, gr.Row():
        with gr.Column(scale=1, min_width=280):
            steering = add_steering()
        with gr.Column(scale=1, min_width=280):
            style = seed_box(label="Style from the seed")
            strength = gr.Slider(0, 2, value=0, step=0.1, label="Strength of the style")
            edited = picture_box("Changed", elem_id="edited")

    def edit(model: str, point: Point | None, style: float, strength: float, method: str, *lengths: float) -> Any:
        if point is None:
            return gr.skip()
        moved = page.actions.moved(model, point, method, lengths)
        return to_pillow(page.actions.picture(model, page.actions.restyled(model, moved, style, strength)))

    page.on([found.change, style.change, strength.change, *steering.changes], edit,
            [page.model, found, style, strength, *steering.inputs], edited, **WHILE_MOVING)  # fmt: skip
    return editing


def _told(seen: Seen) -> str:
    phase = f"step {seen.step}" if seen.step else "random latents"
    return f"{seen.part:.0%} of the search. Nearest so far: distance {seen.distance:.4f}, {phase}."


def add_translate(page: Page, tab: Any) -> None:
    """A photo translated by a CycleGAN."""
    import gradio as gr

    entries = page.actions.shelf.entries()
    names = page.actions.shelf.translators()
    ways = {"AB": "from A to B", "BA": "from B to A"}
    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            model = gr.Dropdown(names, value=names[0], label="CycleGAN")
            first = entries[names[0]].directions
            direction = gr.Radio([(ways[way], way) for way in first], value=first[0], label="Direction")
            upload = upload_box()
            make = gr.Button("Translate", variant="primary")
        with gr.Column(scale=2, min_width=280), gr.Row():
            with gr.Column(min_width=130):
                gr.Markdown("Photo")
                before = picture_box("Photo", buttons=[])
            with gr.Column(min_width=130):
                gr.Markdown("Translation")
                after = picture_box("Translation", elem_id="translation")

    def choose(name: str) -> Any:
        known = page.actions.shelf.entry(name).directions
        return gr.Radio(choices=[(ways[way], way) for way in known], value=known[0])

    def translate(name: str, direction: str, upload: str | None) -> tuple[Any, Any]:
        picture, translation = page.actions.translate(name, direction, upload)
        return to_pillow(picture), to_pillow(translation)

    page.on([model.input], choose, model, direction, queue=False)
    page.on([make.click], translate, [model, direction, upload], [before, after], trigger_mode="once", **QUICK)
