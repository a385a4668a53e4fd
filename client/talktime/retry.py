"""When to ask again: UNAVAILABLE only, with the same bytes, a few times, within the deadline and a budget.

Every operation carries an id that takes effect once, so that repeating is safe; the budget sees to it that an
outage is not met with a multiple of the load that caused it. gRPC's own retries are off: one layer retries, and
this is it.
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    stop_before_delay,
)
from tenacity.stop import stop_base

from talktime.ask import MAX_TIMEOUT_S, Ask
from talktime.errors import Applied, TalktimeError

T = TypeVar("T")
_MIN_ATTEMPT_S = 0.001
_MOST_DOUBLINGS = 16


@dataclass(frozen=True, slots=True)
class RetrySettings:
    """How often and how soon an unavailable service is asked again; `attempts=1` never asks again."""

    attempts: int = 3
    first_wait_s: float = 0.02
    longest_wait_s: float = 0.2
    attempt_timeout_s: float = MAX_TIMEOUT_S
    budget_tokens: float = 10.0
    budget_ratio: float = 0.1

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError("attempts: at least one")
        if not 0 <= self.first_wait_s <= self.longest_wait_s:
            raise ValueError("first_wait_s: from 0 to longest_wait_s")
        if self.attempt_timeout_s <= 0 or self.budget_tokens < 0 or self.budget_ratio < 0:
            raise ValueError("attempt_timeout_s, budget_tokens, budget_ratio: not below 0")


class RetryBudget:
    """One client's tokens: a retryable failure takes one, a success gives a tenth; at or below half nothing is
    repeated.

    So a service that is away gets about one repeat per ten first attempts in the long run, however many callers
    there are.
    """

    def __init__(self, settings: RetrySettings) -> None:
        self._most = settings.budget_tokens
        self._ratio = settings.budget_ratio
        self._tokens = settings.budget_tokens
        # Threads share a blocking client.
        self._lock = threading.Lock()

    @property
    def allows(self) -> bool:
        """Whether a repeat may be sent now."""
        return self._tokens > self._most / 2

    def succeeded(self) -> None:
        """An attempt was answered."""
        if self._tokens < self._most:
            with self._lock:
                self._tokens = min(self._most, self._tokens + self._ratio)

    def failed(self) -> None:
        """An attempt failed in a way that is worth repeating."""
        with self._lock:
            self._tokens = max(0.0, self._tokens - 1)


def worth_repeating(error: BaseException) -> bool:
    """Whether the same request may do better a moment later."""
    if not isinstance(error, TalktimeError):
        # A bug or a cancellation is not the service's word.
        return False
    # Everything else is an answer that would be the same again, or, as DEADLINE_EXCEEDED and
    # RESOURCE_EXHAUSTED, one that says there is no time or no room: asking again makes both worse.
    return error.code is grpc.StatusCode.UNAVAILABLE


class Attempts:
    """The attempts of one operation: what is left of its deadline, and what is known of its outcome over all of
    them."""

    __slots__ = ("_budget", "_call_id", "_deadline_s", "_made", "_most_s", "_outcome", "_settings")

    def __init__(self, settings: RetrySettings, budget: RetryBudget, ask: Ask[Any]) -> None:
        self._settings = settings
        self._budget = budget
        self._deadline_s = time.monotonic() + ask.timeout_s
        # What takes longer than other requests may has all its time for one attempt.
        long = ask.timeout_s > MAX_TIMEOUT_S
        self._most_s = ask.timeout_s if long else settings.attempt_timeout_s
        self._call_id = ask.call_id
        self._made = 0
        self._outcome = Applied.NOT_APPLIED

    def begin(self) -> float:
        """Counts an attempt, and returns how long it may take: its own limit or what is left, whichever is less."""
        self._made += 1
        left_s = self._deadline_s - time.monotonic()
        return max(_MIN_ATTEMPT_S, min(self._most_s, left_s))

    def read(self, reading: Callable[[], T]) -> T:
        """The answer of an attempt that the service answered."""
        try:
            answer = reading()
        except TalktimeError as error:
            raise self.failed(error) from None
        self._budget.succeeded()
        return answer

    def failed(self, error: TalktimeError, *, charged: bool = True) -> TalktimeError:
        """The error of a failed attempt, telling of the operation as a whole; `charged` takes it from the budget.

        An attempt whose outcome is unknown may have been applied, so no later one can say NOT_APPLIED any more.
        """
        if error.outcome is Applied.UNKNOWN:
            self._outcome = Applied.UNKNOWN
        error.outcome = self._outcome
        error.call_id = self._call_id
        error.attempts = self._made
        if charged and worth_repeating(error):
            self._budget.failed()
        return error

    def take_back(self) -> None:
        """The attempt that failed was none: it never left."""
        self._made -= 1

    def may_repeat(self, error: TalktimeError) -> bool:
        """Whether one more attempt is in order; the deadline is the caller's to keep."""
        return self._made < self._settings.attempts and self._repeat(error)

    def rest_s(self, error: TalktimeError) -> float | None:
        """How long to wait before one more attempt; None when there is to be none, or no time for it."""
        if not self.may_repeat(error):
            return None
        rest_s = self._wait_s(error)
        return rest_s if rest_s < self._deadline_s - time.monotonic() else None

    def blocking(self) -> Retrying:
        """Repeats a function."""
        return Retrying(
            stop=self._stop(),
            wait=self._rest_s,
            retry=retry_if_exception(self._repeat),
            reraise=True,
        )

    def asynchronous(self) -> AsyncRetrying:
        """Repeats a coroutine function."""
        return AsyncRetrying(
            stop=self._stop(),
            wait=self._rest_s,
            retry=retry_if_exception(self._repeat),
            reraise=True,
        )

    def _repeat(self, error: BaseException) -> bool:
        return worth_repeating(error) and self._budget.allows

    def _stop(self) -> stop_base:
        # Some attempts, and some of the time, may have gone into a stream.
        left_s = self._deadline_s - time.monotonic()
        left = max(1, self._settings.attempts - self._made)
        return stop_after_attempt(left) | stop_before_delay(left_s)

    def _rest_s(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        return self._wait_s(error) if isinstance(error, TalktimeError) else 0.0

    def _wait_s(self, error: TalktimeError) -> float:
        """At least as long as the service asked for."""
        return max(wait_s(self._settings, self._made), error.retry_after_s or 0.0)


def wait_s(settings: RetrySettings, failures: int) -> float:
    """How long to wait after so many failures: doubling up to the longest, half of it by chance so that callers
    spread out."""
    doublings = min(failures - 1, _MOST_DOUBLINGS)
    ceiling_s = min(settings.longest_wait_s, settings.first_wait_s * 2.0**doublings)
    return random.uniform(ceiling_s / 2, ceiling_s)
