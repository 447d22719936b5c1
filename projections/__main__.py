"""`python -m projections`: keep the views until told to stop."""

import sys

from projections.runner import main

sys.exit(main())
