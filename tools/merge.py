"""The same as `frcnn merge`."""

import sys

from detection.cli.main import main

sys.exit(main(["merge", *sys.argv[1:]]))
