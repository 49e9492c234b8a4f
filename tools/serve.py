"""The same as `frcnn serve`."""

import sys

from detection.cli.main import main

sys.exit(main(["serve", *sys.argv[1:]]))
