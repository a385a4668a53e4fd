"""`python -m talktime_loadtest` is `talktime loadtest`."""

import sys

from talktime_loadtest.command import main

sys.exit(main())
