"""The same as `frcnn convert`."""

import sys

from detection.cli.main import main

sys.exit(main(["convert", *sys.argv[1:]]))
