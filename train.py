"""Train SLE-GAN on a folder of pictures; `python train.py --help` lists everything."""

from sle_gan.cli import common, train

if __name__ == "__main__":
    common.run(train.main)
