"""Score generated pictures: the same as `sle-gan evaluate`, for a clone."""

from sle_gan.cli.main import entry

if __name__ == "__main__":
    entry("evaluate")
