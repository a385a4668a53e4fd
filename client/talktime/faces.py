"""What both clients share: how they are made, and how streams that answer them are opened again.

client.py and async_client.py are thin faces over this and over the requests' own files.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import grpc

from talktime.ask import Defaults, Page, timeout_of
from talktime.channel import Terms, bearer
from talktime.errors import TalktimeError, error_of, malformed_answer
from talktime.funds import BalanceReading
from talktime.numbers import check_region
from talktime.report_requests import ExportPart
from talktime.retry import RetryBudget, RetrySettings, wait_s, worth_repeating

T = TypeVar("T")
Progress = Callable[[int, int], None]

# Longer than a router's caller should wait for a decision, and shorter than the service's own limit.
DEFAULT_TIMEOUT_S = 0.25
# A million rows take minutes; who asks for more may say so.
EXPORT_TIMEOUT_S = 3600.0
# A restart takes seconds. An outage of a minute is something that whoever watches should hear of.
PATIENCE_S = 60.0
MANY_FAILURES = 16


def defaults_of(tenant_id: str, timeout_s: float, region: str | None) -> Defaults:
    """What a client adds to its requests; ValueError for a timeout or a region that cannot be."""
    if region is not None:
        check_region(region)
    return Defaults(tenant_id, timeout_of(timeout_s), region)


def terms_of(
    target: str,
    token: str,
    defaults: Defaults,
    secured: grpc.ChannelCredentials | None,
    retry: RetrySettings | None,
) -> Terms:
    """Whom a client asks, as whom, and how often."""
    settings = retry or RetrySettings()
    return Terms(target, secured, bearer(token), defaults, settings, RetryBudget(settings))


def next_token(token: str, page: Page[T]) -> str | None:
    """What asks for the next page, None at the end. A page that leads to itself would never end."""
    if not page.next_page_token:
        return None
    if page.next_page_token == token:
        raise malformed_answer("a page leads to itself")
    return page.next_page_token


class Reopening:
    """Whether and when a stream that broke is opened again: like any request until something came, and after that for
    as long as `patience_s`."""

    def __init__(self, settings: RetrySettings, *, patience_s: float = 0.0) -> None:
        self._settings = settings
        self._patience_s = patience_s
        self._began = False
        self._failures = 0
        self._away_since_s = 0.0

    def came(self) -> None:
        """Something came: whatever was wrong is over."""
        self._began = True
        self._failures = 0

    def wait_s(self, error: TalktimeError) -> float:
        """How long to wait before the next try; raises the error when no other try is in order."""
        now_s = time.monotonic()
        if not self._failures:
            self._away_since_s = now_s
        self._failures += 1
        error.attempts = self._failures
        if not (worth_repeating(error) and self._may_repeat(now_s)):
            raise error
        # A stream that ends as soon as it is open again is not opened a hundred times a second.
        failures = MANY_FAILURES if self._began else self._failures
        return max(wait_s(self._settings, failures), error.retry_after_s or 0.0)

    def _may_repeat(self, now_s: float) -> bool:
        if self._began:
            return now_s - self._away_since_s < self._patience_s
        return self._failures < self._settings.attempts


class Reported:
    """How much of an export came, and whether that was all of it."""

    def __init__(self, on_progress: Progress | None) -> None:
        self._on_progress = on_progress
        self._row_count = 0
        self._rows = 0

    def came(self, part: ExportPart) -> None:
        """A part was used up."""
        self._row_count = self._row_count or part.row_count
        self._rows += len(part.rows)
        if self._on_progress:
            self._on_progress(self._rows, max(self._rows, self._row_count))

    def finish(self) -> None:
        """The stream ended well; rows are never deleted, so fewer than were announced mean that it broke."""
        if self._rows < self._row_count:
            raise stream_ended()


def is_news(reading: BalanceReading, last: BalanceReading | None) -> bool:
    """Whether a reading tells anything that the last one did not: a stream opened again begins with what is known."""
    return last is None or reading != replace(last, read_time=reading.read_time)


def stream_ended() -> TalktimeError:
    """A service that stops may end its streams without a word."""
    return error_of(grpc.StatusCode.UNAVAILABLE, "the stream ended", reason="STREAM_ENDED")
