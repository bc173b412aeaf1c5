"""`python -m wordmask`."""

import sys

from wordmask.cli.main import main

sys.exit(main())
