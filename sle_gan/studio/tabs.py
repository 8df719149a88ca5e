"""The tabs for pictures of seeds. Each adds what is seen, and says which action it calls; it does nothing by itself."""

from __future__ import annotations

import random
from typing import Any

from sle_gan.latents.walks import EASINGS, WAYS
from sle_gan.pictures import to_pillow
from sle_gan.studio.actions import MOST_PICTURES, MOST_SECONDS
from sle_gan.studio.page import Page
from sle_gan.studio.steering import add_steering
from sle_gan.studio.widgets import HEIGHT, LONG, QUICK, WHILE_MOVING, picture_box, seed_box


def add_create(page: Page, tab: Any) -> None:
    """Pictures of seeds."""
    import gradio as gr

    with gr.Row():
        with gr.Column(scale=1, min_width=260):
            seed = seed_box(label="First seed")
            count = gr.Slider(1, MOST_PICTURES, value=8, step=1, label="Pictures")
            truncation = gr.Slider(
                0, 3, value=0, step=0.1, label="Truncation", info="0: none. 1: more typical, less variety."
            )
            make = gr.Button("Make pictures", variant="primary")
            other = gr.Button("Other seeds")
        with gr.Column(scale=3, min_width=300):
            gallery = gr.Gallery(
                label="Pictures", show_label=False, columns=4, height="auto", object_fit="contain", format="png",
                interactive=False, buttons=["download", "fullscreen"], elem_id="pictures",
            )  # fmt: skip
            download = gr.DownloadButton("Download all (zip)", interactive=False)

    def create(model: str, seed: float, count: float, truncation: float) -> tuple[Any, Any]:
        made = page.actions.create(model, seed, count, truncation)
        return made.pictures, gr.DownloadButton(value=made.archive, interactive=True)

    inputs, outputs = [page.model, seed, count, truncation], [gallery, download]
    page.on([page.blocks.load, make.click, seed.submit, page.model.change], create, inputs, outputs,
            show_progress_on=gallery, trigger_mode="always_last", **QUICK)  # fmt: skip

    def create_others(model: str, count: float, truncation: float) -> tuple[Any, ...]:
        first = random.randrange(10**6)
        return first, *create(model, first, count, truncation)

    page.on([other.click], create_others, [page.model, count, truncation], [seed, *outputs],
            show_progress_on=gallery, trigger_mode="once", **QUICK)  # fmt: skip


def add_mix(page: Page, tab: Any) -> None:
    """The content of pictures with the style of others."""
    import gradio as gr

    gr.Markdown("Shapes come from the pictures at the left, colours and textures from those at the top.")
    with gr.Row():
        contents = gr.Textbox("0-2", label="Contents: seeds", info="such as 0,3,7-9")
        styles = gr.Textbox("10-12", label="Styles: seeds")
        strength = gr.Slider(0, 2, value=1, step=0.1, label="Strength of the style")
    mix = gr.Button("Mix", variant="primary")
    sheet = picture_box("Contents by styles", height=None, elem_classes="sheet")

    def mixed(model: str, contents: str, styles: str, strength: float) -> Any:
        return to_pillow(page.actions.mix(model, contents, styles, strength))

    inputs = [page.model, contents, styles, strength]
    page.on([mix.click, contents.submit, styles.submit, strength.release], mixed, inputs, sheet,
            trigger_mode="always_last", **QUICK)  # fmt: skip


def add_directions(page: Page, tab: Any) -> None:
    """A picture moved along directions, while the sliders move."""
    import gradio as gr

    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            seed = seed_box()
            steering = add_steering()
        with gr.Column(scale=1, min_width=280):
            picture = picture_box("Picture", elem_id="moved")
            gr.Markdown("Lengths are in standard deviations of the latents. The strongest direction is the first.")

    def move(model: str, seed: float, method: str, *lengths: float) -> Any:
        return to_pillow(page.actions.picture(model, page.actions.moved(model, seed, method, lengths)))

    page.on([tab.select, seed.change, page.model.change, *steering.changes], move,
            [page.model, seed, *steering.inputs], picture, **WHILE_MOVING)  # fmt: skip


def add_walk(page: Page, tab: Any) -> None:
    """An animation from picture to picture."""
    import gradio as gr

    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            through = gr.Textbox("3,14,15,92", label="Through: seeds", info="two or more, such as 3,14,15 or 0-5")
            seconds = gr.Slider(1, MOST_SECONDS, value=4, step=0.5, label="Seconds")
            way = gr.Radio(list(WAYS), value="loop", label="Way",
                           info="on to the first, no further than the last, or back through the others")  # fmt: skip
            easing = gr.Radio(list(EASINGS), value="smooth", label="Easing", info="even, or resting at each picture")
            make = gr.Button("Make the video", variant="primary")
        with gr.Column(scale=1, min_width=280):
            video = gr.Video(label="Walk", autoplay=True, loop=True, show_label=False, height=HEIGHT, interactive=False)
            animation = picture_box("Walk", visible=False, format="webp")

    def walk(
        model: str,
        through: str,
        seconds: float,
        way: str,
        easing: str,
        progress: Any = gr.Progress(),  # noqa: B008
    ) -> tuple[Any, Any]:
        path = page.actions.walk(model, through, seconds, way, easing, lambda part: progress(part, desc="frames"))
        if path.endswith(".mp4"):
            return gr.Video(value=path, visible=True), gr.Image(visible=False)
        return gr.Video(visible=False), gr.Image(value=path, visible=True)

    page.on([make.click, through.submit], walk, [page.model, through, seconds, way, easing], [video, animation],
            show_progress_on=video, trigger_mode="once", **LONG)  # fmt: skip
