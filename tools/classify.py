"""The same as `frcnn classify`."""

import sys

from detection.cli.main import main

sys.exit(main(["classify", *sys.argv[1:]]))
