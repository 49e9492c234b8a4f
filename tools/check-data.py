"""The same as `frcnn check-data`."""

import sys

from detection.cli.main import main

sys.exit(main(["check-data", *sys.argv[1:]]))
