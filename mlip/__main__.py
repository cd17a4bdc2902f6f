"""`python -m mlip` is the command line."""

import sys

from mlip.cli import main

sys.exit(main())
