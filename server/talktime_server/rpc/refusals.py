"""What the log says of calls that failed: one line at most for each, few for each reason, and nothing secret in any.

Good calls are not logged at all. A flood of bad ones must not become a flood of lines, so each reason has a small
allowance per second, and its next line says how many were left out.
"""

import re
import secrets
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from talktime_server.failure import Applied, Broken, Failure

LINES_PER_SECOND = 5
MAX_REASONS = 256
MAX_TRACE_CHARS = 8000
MAX_CAUSE_CHARS = 512
_NUMBER = re.compile(r"\+?[0-9]{7,}")
_TOKEN = re.compile(r"tt_[0-9A-Za-z]+_[0-9A-Za-z_-]+|[Bb]earer\s+\S+")

_log = structlog.get_logger("talktime.rpc")


def masked(number: str) -> str:
    """A phone number as the log may show it: what hints at its country, and its last two characters."""
    if len(number) <= 5:
        return "*" * len(number)
    return f"{number[:3]}{'*' * (len(number) - 5)}{number[-2:]}"


def scrubbed(text: str) -> str:
    """Free text, as a traceback, without whole phone numbers and tokens."""
    return _NUMBER.sub(lambda found: masked(found[0]), _TOKEN.sub("[token]", text))


def _cause_of(failure: Failure) -> dict[str, str]:
    """What is behind a bug that has a word, which its caller is not told."""
    if not isinstance(failure, Broken) or failure.__cause__ is None:
        return {}
    return {"cause": scrubbed(str(failure.__cause__))[:MAX_CAUSE_CHARS]}


@dataclass(slots=True)
class _Allowance:
    second: int
    lines: int = 0
    left_out: int = 0


class Refusals:
    """Writes the lines, and gives bugs the id under which the caller may ask about them."""

    def __init__(self, ticks: Callable[[], float] = time.monotonic) -> None:
        self._ticks = ticks
        self._allowances: dict[str, _Allowance] = {}

    def failed(self, path: str, failure: Failure, who: str) -> None:
        """Notes a call that failed in a way we have a word for."""
        left_out = self._may_write(failure.reason)
        if left_out is None:
            return
        _log.info(
            "call_failed",
            path=scrubbed(path)[:128],
            code=failure.code.name,
            reason=failure.reason,
            outcome=failure.applied.value,
            field=failure.facts.get("field", ""),
            token_name=who,
            left_out=left_out,
            **_cause_of(failure),
        )

    def broken(self, path: str, error: Exception, who: str, applied: Applied) -> Broken:
        """Notes a bug whole, and returns the failure that tells the caller nothing but where to find it."""
        error_id = secrets.token_hex(8)
        left_out = self._may_write(f"INTERNAL {type(error).__name__}")
        if left_out is not None:
            trace = "".join(traceback.format_exception(error))
            _log.error(
                "call_broken",
                path=scrubbed(path)[:128],
                error_id=error_id,
                token_name=who,
                trace=scrubbed(trace)[-MAX_TRACE_CHARS:],
                left_out=left_out,
            )
        return Broken("INTERNAL", f"internal error {error_id}", applied=applied)

    def _may_write(self, reason: str) -> int | None:
        """How many lines were left out since the last one, or None when this one is left out too."""
        second = int(self._ticks())
        if len(self._allowances) >= MAX_REASONS and reason not in self._allowances:
            self._allowances.clear()
        allowance = self._allowances.setdefault(reason, _Allowance(second))
        if allowance.second != second:
            allowance.second, allowance.lines = second, 0
        if allowance.lines >= LINES_PER_SECOND:
            allowance.left_out += 1
            return None
        left_out, allowance.left_out = allowance.left_out, 0
        allowance.lines += 1
        return left_out
