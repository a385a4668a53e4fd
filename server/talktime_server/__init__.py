"""The call-authorization service."""

import os
import sys

if "TALKTIME_CONTROL" in os.environ:
    # A process of the service speaks to no person. Where rich is installed, structlog would load it for tracebacks in
    # colour: that is 50 ms of each start and 5 MB of each process.
    sys.modules["rich"] = None  # type: ignore[assignment]  # what Python itself takes for "there is none"
