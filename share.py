"""Share a trained generator with others; `python share.py --help` lists everything."""

from sle_gan.cli import common, share

if __name__ == "__main__":
    common.run(share.main)
