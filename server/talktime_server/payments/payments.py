"""The retrying client: one charge per intent, whatever is lost on the way (semantics 52, 53; reliability.md F43, F44, P24).

How the worker uses it:

1. Before anything is asked, the intent is stored with its charge id.
2. `charge(intent)` tries three times within half a minute, with the charge id as key, and then looks the charge up.
3. SUCCEEDED, DECLINED and ACTION_REQUIRED are answers. NOT_CHARGED means that no money moved: the same intent may be charged
   again later, or dropped. PENDING and UNKNOWN are asked for again with `reconcile`, always the same intent: there is never
   a second key. Webhooks may answer earlier.
4. `wait_before_round_s(n)` says when: the first round is `charge`, each later one a single try. None means that eight tries
   were made, or could have been, and a person decides.

Neither method raises but for cancellation and bugs: a provider's failure is a result, with its reason as `code`.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import structlog
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)

from talktime_server.failure import Applied
from talktime_server.payments.errors import (
    InProgress,
    NoGateway,
    PaymentFailure,
    Resting,
    Silent,
    Transient,
    Unreachable,
    WrongReply,
)
from talktime_server.payments.gateway import Gateway, Intent, Outcome, Result
from talktime_server.payments.spacing import USUAL, Spacing, Turnstile

# A provider keeps a key for 24 hours at least. The hour less is for clocks that differ and a try that takes its time.
KEY_WINDOW_MS = 23 * 3600 * 1000
# The rounds after the first: an outage of six hours ends before the last, and all are over well within the key's life.
WAITS_S = (60, 600, 3600, 7200, 14_400)
TRIES = 3
MOST_TRIES = TRIES + len(WAITS_S)
_MIN_ATTEMPT_S = 0.01

_log = structlog.get_logger("talktime.payments")


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and how long one `charge` tries: `total_s` is for all tries and the waits between them."""

    tries: int = TRIES
    attempt_s: float = 10.0
    total_s: float = 30.0
    first_wait_s: float = 0.5
    longest_wait_s: float = 5.0


THREE_TRIES = Patience()


class Payments:
    """Charges through the gateways that are set up, each by its name."""

    def __init__(
        self,
        gateways: Mapping[str, Gateway],
        *,
        patience: Patience = THREE_TRIES,
        spacing: Spacing = USUAL,
    ) -> None:
        self._gateways = dict(gateways)
        self._patience = patience
        self._turnstiles = {name: Turnstile(spacing) for name in gateways}

    async def charge(self, intent: Intent, *, tries: int = 0) -> Result:
        """Charges once, trying as often as the settings, or `tries`, say.

        NOT_CHARGED when nothing reached the provider or it surely refused; UNKNOWN when that cannot be said.
        """
        return await self._charge(intent, tries or self._patience.tries, Applied.NOT_APPLIED)

    async def reconcile(self, intent: Intent, *, first_tried_ms_ago: int) -> Result:
        """How an earlier charge stands, as the provider knows it; else one more try with the same key, while it keeps keys.

        The look-up comes first, for our clock may have jumped: who asks with a key that is forgotten charges again.
        Never NOT_CHARGED: an earlier try may have been charged. After the key's life UNKNOWN with the code
        PROVIDER_KNOWS_NOTHING says that the provider was asked and found none.
        """
        try:
            found = await self._look_up(self._gateway(intent), intent)
        except PaymentFailure as failure:
            return _open(intent, Outcome.UNKNOWN, failure.reason)
        if found:
            return found
        if first_tried_ms_ago < KEY_WINDOW_MS:
            return await self._charge(intent, 1, Applied.UNKNOWN)
        return _open(intent, Outcome.UNKNOWN, "PROVIDER_KNOWS_NOTHING")

    async def check(self, gateway: str) -> None:
        """That this gateway is set up, reachable, and knows us; charges nothing. Raises PaymentFailure."""
        if gateway not in self._gateways:
            raise _no_gateway()
        await self._gateways[gateway].check()

    async def close(self) -> None:
        """Closes every gateway."""
        for gateway in self._gateways.values():
            await gateway.close()

    async def _charge(self, intent: Intent, tries: int, before: Applied) -> Result:
        rounds = _Tries(self._patience, tries, before)
        try:
            gateway = self._gateway(intent)
            return await rounds.make(lambda timeout_s: self._try(gateway, intent, timeout_s))
        except PaymentFailure as failure:
            _log.warning("charge_failed", charge_id=intent.charge_id, reason=failure.reason)
            return await self._after(failure, rounds.applied, intent)

    async def _after(self, failure: PaymentFailure, applied: Applied, intent: Intent) -> Result:
        """What is known once the tries are over."""
        if applied is Applied.NOT_APPLIED:
            return _open(intent, Outcome.NOT_CHARGED, failure.reason)
        unknown = _open(intent, Outcome.UNKNOWN, failure.reason)
        if isinstance(failure, Unreachable | Resting | NoGateway):
            return unknown  # There is nobody to ask.
        try:
            # That nothing is found proves nothing: the last try may still be on its way.
            return await self._look_up(self._gateway(intent), intent) or unknown
        except PaymentFailure:
            return unknown

    async def _try(self, gateway: Gateway, intent: Intent, timeout_s: float) -> Result:
        turnstile = self._turnstiles[gateway.name]
        await turnstile.enter()
        try:
            result = await _within(timeout_s, gateway.charge(intent))
        except Transient as failure:
            if not isinstance(failure, InProgress):
                turnstile.failed()
            raise
        turnstile.answered()
        return _fitting(intent, result)

    async def _look_up(self, gateway: Gateway, intent: Intent) -> Result | None:
        found = await _within(self._patience.attempt_s, gateway.look_up(intent))
        self._turnstiles[gateway.name].answered()
        return _fitting(intent, found) if found else None

    def _gateway(self, intent: Intent) -> Gateway:
        if intent.method.gateway not in self._gateways:
            raise _no_gateway()
        return self._gateways[intent.method.gateway]


class _Tries:
    """The tries of one charge: how many and for how long, and what is known of the money over all of them."""

    def __init__(self, patience: Patience, tries: int, applied: Applied) -> None:
        self._patience = patience
        self._tries = tries
        self._ends_s = time.monotonic() + patience.total_s
        self.applied = applied

    async def make(self, attempt: Callable[[float], Awaitable[Result]]) -> Result:
        """The first answer. Raises the last try's PaymentFailure."""
        retrying = AsyncRetrying(
            stop=stop_after_attempt(self._tries) | stop_before_delay(self._patience.total_s),
            wait=self._wait_s,
            retry=retry_if_exception(worth_repeating),
            reraise=True,
        )
        return await retrying(self._make_one, attempt)

    async def _make_one(self, attempt: Callable[[float], Awaitable[Result]]) -> Result:
        left_s = self._ends_s - time.monotonic()
        try:
            return await attempt(max(_MIN_ATTEMPT_S, min(self._patience.attempt_s, left_s)))
        except PaymentFailure as failure:
            if failure.applied is Applied.UNKNOWN:
                self.applied = Applied.UNKNOWN
            raise

    def _wait_s(self, state: RetryCallState) -> float:
        """Doubling, with chance in it, and at least as long as the provider asked for."""
        patience = self._patience
        wait = wait_random_exponential(
            multiplier=patience.first_wait_s,
            max=patience.longest_wait_s,
            min=patience.first_wait_s / 2,
        )
        error = state.outcome.exception() if state.outcome else None
        asked_s = error.retry_after_s if isinstance(error, PaymentFailure) else None
        return max(wait(state), asked_s or 0.0)


def worth_repeating(error: BaseException) -> bool:
    """Whether the same request, with the same key, may do better a moment later."""
    # A cancellation is the caller's word, and a bug would be the same again; what is permanent, or cannot be read, as
    # well. Only what the hierarchy calls transient may pass.
    return isinstance(error, Transient)


def wait_before_round_s(number: int) -> float | None:
    """How long to wait before a round, counted from 1, after the one before it; None when there are no more.

    Up to a quarter longer by chance, so that what failed together does not come back together.
    """
    if number <= 1:
        return 0.0
    if number - 2 >= len(WAITS_S):
        return None
    return WAITS_S[number - 2] * random.uniform(1.0, 1.25)


async def _within(timeout_s: float, asking: Awaitable[Result | None]) -> Result | None:
    """The answer, if it comes in time: a gateway's own limit may be longer than what is left."""
    try:
        async with asyncio.timeout(timeout_s):
            return await asking
    except TimeoutError as error:
        raise Silent("the payment provider did not answer in time") from error


def _fitting(intent: Intent, result: Result | None) -> Result:
    """The result, if it speaks of this money. Raises WrongReply."""
    assert result is not None  # a gateway answers a charge, or raises
    if result.currency != intent.currency:
        raise WrongReply("the provider charged another currency", reason="WRONG_CURRENCY")
    if result.amount_micros != intent.amount_micros:
        raise WrongReply("the provider charged another amount", reason="WRONG_AMOUNT")
    return result


def _open(intent: Intent, outcome: Outcome, reason: str) -> Result:
    """A result that the provider did not give."""
    return Result(
        outcome, code=reason, amount_micros=intent.amount_micros, currency=intent.currency
    )


def _no_gateway() -> NoGateway:
    return NoGateway("this payment gateway is not set up here")
