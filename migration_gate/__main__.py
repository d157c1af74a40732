"""`python -m migration_gate`, where the console script is not installed."""

import sys

from migration_gate.cli import main

sys.exit(main())
