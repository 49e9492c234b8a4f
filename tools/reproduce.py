"""The same as `frcnn reproduce`."""

import sys

from detection.cli.main import main

sys.exit(main(["reproduce", *sys.argv[1:]]))
