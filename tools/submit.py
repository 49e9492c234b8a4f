"""The same as `frcnn submit`."""

import sys

from detection.cli.main import main

sys.exit(main(["submit", *sys.argv[1:]]))
