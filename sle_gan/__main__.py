"""`python -m sle_gan COMMAND`, and `python PATH/sle_gan COMMAND` where the package is not installed."""

import sys
from pathlib import Path

if not __package__:  # the folder was started: Python looks for modules in it, and not beside it
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

if __name__ == "__main__":
    from sle_gan.cli.main import entry

    entry()
