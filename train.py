"""Train a GAN on a folder of pictures: the same as `sle-gan train`, for a clone."""

from sle_gan.cli.main import entry

if __name__ == "__main__":
    entry("train")
