"""`python -m scheduler`: run the timetable until told to stop."""

import sys

from scheduler.runner import main

sys.exit(main())
