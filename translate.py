"""Translate pictures with a trained CycleGAN; `python translate.py --help` lists everything."""

from sle_gan.cli import common, translate

if __name__ == "__main__":
    common.run(translate.main)
