"""The same as `frcnn compare`."""

import sys

from detection.cli.main import main

sys.exit(main(["compare", *sys.argv[1:]]))
