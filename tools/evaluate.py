"""The same as `frcnn evaluate`."""

import sys

from detection.cli.main import main

sys.exit(main(["evaluate", *sys.argv[1:]]))
