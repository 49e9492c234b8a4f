"""The same as `frcnn train`."""

import sys

from detection.cli.main import main

sys.exit(main(["train", *sys.argv[1:]]))
