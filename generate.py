"""Make pictures with a trained generator: the same as `sle-gan generate`, for a clone."""

from sle_gan.cli.main import entry

if __name__ == "__main__":
    entry("generate")
