"""Sliders that move a picture along directions, which the tabs Directions and Find share."""

from __future__ import annotations

from typing import Any, NamedTuple

from sle_gan.latents.directions import METHODS
from sle_gan.studio.actions import SLIDERS

_LENGTH = 4.0  # standard deviations; a generator has seen few latents beyond


class Steering(NamedTuple):
    """The method's choice, a slider for each direction, and the button that sets them back."""

    method: Any
    sliders: list[Any]
    reset: Any

    @property
    def inputs(self) -> list[Any]:
        return [self.method, *self.sliders]

    @property
    def changes(self) -> list[Any]:
        """What calls for a new picture."""
        return [self.method.change, *(slider.change for slider in self.sliders)]


def add_steering() -> Steering:
    """Adds the sliders, of which all are 0."""
    import gradio as gr

    method = gr.Radio(
        [("of the first layer (SeFa)", METHODS[0]), ("of its maps over samples (GANSpace)", METHODS[1])],
        value=METHODS[0], label="Directions",
    )  # fmt: skip
    sliders = [
        gr.Slider(-_LENGTH, _LENGTH, value=0, step=0.1, label=f"Direction {i + 1}", show_label=True)
        for i in range(SLIDERS)
    ]
    reset = gr.Button("Set all to 0", size="sm")
    reset.click(None, None, sliders, js=f"() => Array({SLIDERS}).fill(0)", api_visibility="private")
    return Steering(method, sliders, reset)
