"""`python -m taskmanager`, where the console script is not installed."""

import sys

from taskmanager.cli import main

sys.exit(main())
