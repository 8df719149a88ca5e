"""A page with one button: new pictures of USER/NAME."""

import gradio as gr
import numpy as np

import sle_gan
from sle_gan.pictures import make_grid

generator = sle_gan.from_pretrained("USER/NAME")


def draw(seed: float, count: float) -> np.ndarray:
    first = int(seed)
    return make_grid(np.concatenate(list(sle_gan.generate_images(generator, range(first, first + int(count))))))


page = gr.Interface(
    draw,
    [gr.Number(0, label="seed", precision=0), gr.Slider(1, 16, 9, step=1, label="pictures")],
    gr.Image(label="generated"),
    title="USER/NAME",
    flagging_mode="never",
)

if __name__ == "__main__":
    page.launch()
