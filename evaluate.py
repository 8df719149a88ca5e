"""Score generated images; `python evaluate.py --help` lists everything."""

from sle_gan.cli import common, evaluate

if __name__ == "__main__":
    common.run(evaluate.main)
