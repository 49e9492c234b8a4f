"""`python -m detection COMMAND ...` is `frcnn COMMAND ...`, for launchers that start modules."""

import sys

from detection.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
