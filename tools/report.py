"""The same as `frcnn report`."""

import sys

from detection.cli.main import main

sys.exit(main(["report", *sys.argv[1:]]))
