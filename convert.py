"""Turn FastGAN checkpoints of PyTorch into weights and runs of ours, and back; `python convert.py --help`."""

from sle_gan.cli import common, convert

if __name__ == "__main__":
    common.run(convert.main)
