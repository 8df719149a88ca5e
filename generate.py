"""Make pictures with a trained generator; `python generate.py --help` lists everything."""

from sle_gan.cli import common, generate

if __name__ == "__main__":
    common.run(generate.main)
