"""The same as `frcnn split`."""

import sys

from detection.cli.main import main

sys.exit(main(["split", *sys.argv[1:]]))
