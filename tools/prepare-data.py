"""The same as `frcnn prepare-data`."""

import sys

from detection.cli.main import main

sys.exit(main(["prepare-data", *sys.argv[1:]]))
