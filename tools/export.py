"""The same as `frcnn export`."""

import sys

from detection.cli.main import main

sys.exit(main(["export", *sys.argv[1:]]))
