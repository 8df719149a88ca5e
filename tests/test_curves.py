"""curves.png: what is drawn beside what."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from sle_gan.gans.lightweight.gan import LightweightGAN
from sle_gan.training.curves import arrange, draw_curves


def test_signs_are_no_losses() -> None:
    names = ("real_A", "generator", "D_sign_A", "augment_probability_A", "lecam_real", "penalty", "reconstruct_part")
    assert arrange(names, LightweightGAN.panels) == {
        "adversarial losses": ["real_A", "generator"],
        "gradient penalty": ["penalty"],
        "LeCam regularisation": ["lecam_real"],
        "reconstruction losses": ["reconstruct_part"],
        "overfitting: mean sign of D on real images": ["D_sign_A", "augment_probability_A"],
    }


def test_a_log_with_speeds_alone_is_drawn(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps({"step": step, "images_per_second": 9.0}) + "\n" for step in range(1, 6)))
    draw_curves(log, tmp_path / "curves.png", LightweightGAN.panels)
    assert Image.open(tmp_path / "curves.png").size == (500, 400)


def test_a_panel_more_is_a_wider_picture(tmp_path: Path) -> None:
    sizes = []
    for more in ({}, {"D_sign": 0.5}):
        log = tmp_path / "log.jsonl"
        lines = [{"step": step, "images_per_second": 9.0, "real": 1.0 / step, **more} for step in range(1, 6)]
        log.write_text("".join(json.dumps(line) + "\n" for line in lines))
        draw_curves(log, tmp_path / "curves.png", LightweightGAN.panels)
        sizes.append(Image.open(tmp_path / "curves.png").size)
    assert sizes[1][0] > sizes[0][0] and sizes[1][1] == sizes[0][1]
