"""The same as `frcnn predict`."""

import sys

from detection.cli.main import main

sys.exit(main(["predict", *sys.argv[1:]]))
