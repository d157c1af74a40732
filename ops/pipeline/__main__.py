"""`python -m ops.pipeline`."""

import sys

from ops.pipeline.cli import main

if __name__ == "__main__":
    sys.exit(main())
