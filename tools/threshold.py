"""The same as `frcnn threshold`."""

import sys

from detection.cli.main import main

sys.exit(main(["threshold", *sys.argv[1:]]))
