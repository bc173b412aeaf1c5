"""`python -m wordmask`."""

import sys

from wordmask.cli import main

sys.exit(main())
