"""What happens, told to whoever keeps logs: one JSON object a line, on standard error, whichever process it is."""

import sys

import structlog


def configure(level: str) -> None:
    """Sets up this process's log; `level` is the least urgent to write."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
