"""The same as `frcnn pretrain`."""

import sys

from detection.cli.main import main

sys.exit(main(["pretrain", *sys.argv[1:]]))
