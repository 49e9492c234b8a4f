"""The same as `frcnn configs`."""

import sys

from detection.cli.main import main

sys.exit(main(["configs", *sys.argv[1:]]))
