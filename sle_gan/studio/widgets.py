"""Widgets and ways to call that the tabs share."""

from __future__ import annotations

from typing import Any

HEIGHT = 420  # pixels of one large picture
# Quick things wait for nothing that takes minutes: two at a time of each, and no more, whoever asks.
QUICK: dict[str, Any] = {"concurrency_id": "pictures", "concurrency_limit": 2}
LONG: dict[str, Any] = {"concurrency_id": "searches", "concurrency_limit": 2}
# Of many moves of a slider, the one under way and the last are answered.
WHILE_MOVING: dict[str, Any] = {"trigger_mode": "always_last", "show_progress": "hidden", **QUICK}


def seed_box(value: int = 0, label: str = "Seed") -> Any:
    """A box for a seed."""
    import gradio as gr

    return gr.Number(value=value, precision=0, minimum=0, label=label)


def picture_box(label: str, **options: Any) -> Any:
    """A picture, as large as there is room for it.

    Args:
        label: for those who do not see it.
        options: of `gradio.Image`, in place of ours.
    """
    import gradio as gr

    usual = {
        "show_label": False, "format": "png", "height": HEIGHT, "interactive": False,
        "buttons": ["download", "fullscreen"], "elem_classes": "large",
    }  # fmt: skip
    return gr.Image(label=label, alt_text=label, **{**usual, **options})


def upload_box() -> Any:
    """Takes a file as it is: the page's own reader looks into it, and not gradio's."""
    import gradio as gr

    return gr.File(label="Photo", file_types=["image"], file_count="single", height=140)
