"""Cut a sheet of sprites into pictures; `python tiles.py --help` lists everything."""

from sle_gan.cli import common, tiles

if __name__ == "__main__":
    common.run(tiles.main)
