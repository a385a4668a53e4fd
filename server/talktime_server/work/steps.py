"""The steps of a recharge, in plain Python: from where it is to where it goes, by what happened (semantics 47 to 61).

    OFF ── rule ──> ARMED ── dip: the hot path's claim ──> CLAIMED ── counted and frozen ──> CHARGING
    CLAIMED ── a cap is reached ──> CAPPED ── day or month over ──> ARMED
    CHARGING ── succeeded ──> COOLING ── pause ──> ARMED
    CHARGING ── declined ──> DECLINED ── the next payment method ──> CHARGING
                             DECLINED ── all of them were ── pause ──> ARMED, and the third time STOPPED
    CHARGING ── the provider is away, nothing was asked ──> CLAIMED ── pause ──> ARMED
    CHARGING ── the customer must confirm ──> ACTION_REQUIRED ── confirmed ──> COOLING
    CHARGING ── no answer ──> UNKNOWN ── found out ──> as above, and after a day NEEDS_REVIEW

Whatever ends a pause arms again: the balance is then compared with the trigger in the same write, and a
tenant who is still below is claimed anew, under a new epoch (semantics 49, 50). While an outcome is unknown nothing is
charged under another id, and late news never take a recharge back (58).
"""

from dataclasses import dataclass, replace

from talktime_server.ledger.recharge_rows import Line, Method, Recharge, Step, View
from talktime_server.payments.gateway import Outcome, Result
from talktime_server.words import RechargeState
from talktime_server.work.caps import allowance, counted, uncounted

HOUR_MS = 3_600_000
REVIEW_AFTER_MS = 24 * HOUR_MS
LOOK_UP_MS = (
    2 * HOUR_MS
)  # for what the provider has and does not end, when it was asked often enough
BACK_OFF_MS = (HOUR_MS, 6 * HOUR_MS)  # after the first round of declines, and after the second
MOST_DECLINES = 3
MOST_WAITS = 8  # for a provider that cannot be reached, before that counts as a decline
DEFAULT_EXPIRE_DAYS = 365
ACTION_LOOK_MS = 15 * 60_000
LOOK_AGAIN_MS = 60_000
# Nothing was charged, and a moment later it may be: the provider is away.
PASSING = frozenset({"PROVIDER_UNREACHABLE", "PROVIDER_BUSY", "PROVIDER_RESTING"})
# A charge was promised to the provider, and what becomes of it is open.
IN_FLIGHT = frozenset(
    {
        RechargeState.CHARGING,
        RechargeState.UNKNOWN,
        RechargeState.NEEDS_REVIEW,
        RechargeState.ACTION_REQUIRED,
    }
)
_PAUSES = frozenset(
    {
        RechargeState.CLAIMED,
        RechargeState.COOLING,
        RechargeState.DECLINED,
        RechargeState.CAPPED,
    }
)
_ASKED_AGAIN = IN_FLIGHT - {RechargeState.NEEDS_REVIEW}


@dataclass(frozen=True, slots=True)
class Claimant:
    """Who works on a recharge, and for how long it is theirs before somebody else takes over (semantics 56)."""

    name: str
    claim_ms: int


def to_begin(view: View) -> bool:
    """Whether a charge is to be made now: a claim waits, or the next payment method after a decline."""
    if view.claimed:
        return True
    between = view.recharge.state in (RechargeState.DECLINED, RechargeState.CLAIMED)
    return between and _due(view) and _next_method(view.recharge) is not None


def to_ask(view: View) -> bool:
    """Whether a charge under way is to be asked after: nobody has it, or who had it is gone."""
    return view.recharge.state in _ASKED_AGAIN and _due(view)


def to_arm(view: View) -> bool:
    """Whether a pause is over."""
    return view.recharge.state in _PAUSES and _due(view) and not to_begin(view)


def _due(view: View) -> bool:
    return 0 < view.recharge.next_ms <= view.now_ms


def armed(view: View) -> Recharge:
    """Watching the balance; or nothing at all, for a rule that was turned off meanwhile (semantics 61)."""
    row = replace(
        view.recharge,
        since_ms=view.now_ms,
        next_ms=0,
        epoch=view.claims,
        attempt=0,
        method=0,
        again=0,
        owner="",
        declined_now=0,
        url="",
    )
    return replace(row, state=RechargeState.ARMED if row.rule.enabled else RechargeState.OFF)


def arm(view: View) -> Step:
    """After a pause."""
    row = armed(view)
    return Step(row, Line(row.state))


def begin(view: View, currency: str, claimant: Claimant) -> Step:
    """Counts a charge and freezes it, or says which cap does not allow it. Nobody was asked yet."""
    allowed, row = allowance(view), view.recharge
    if not allowed.amount_micros:
        row = replace(armed(view), state=RechargeState.CAPPED, next_ms=allowed.until_ms)
        return Step(row, Line(RechargeState.CAPPED, code=allowed.why))
    number = 0 if view.claimed else row.method
    attempt = 1 if view.claimed else row.attempt + 1
    method = row.rule.methods[number]
    row = replace(
        counted(row, allowed.amount_micros, view.now_ms),
        state=RechargeState.CHARGING,
        since_ms=view.now_ms,
        next_ms=view.now_ms + claimant.claim_ms,
        owner=claimant.name,
        epoch=view.claims,
        attempt=attempt,
        method=number,
        charge_id=f"rc-{row.nonce}-{view.claims}-{attempt}",
        amount_micros=allowed.amount_micros,
        currency=currency,
        gateway=method.gateway,
        customer=method.customer,
        token=method.token,
        expire_days=row.rule.expire_days or DEFAULT_EXPIRE_DAYS,
        begun_ms=view.now_ms,
        asked_version=row.rule.version,
        counted_ms=view.now_ms,
        declined_now=0 if view.claimed else row.declined_now,
        provider_id="",
        rounds=1,
        again=0,
        url="",
    )
    return Step(row, line_of(row))


def take(view: View, claimant: Claimant) -> Step:
    """Makes an open charge this claimant's for a while: the same charge, whoever had it before (semantics 56)."""
    deadline_ms = view.now_ms + claimant.claim_ms
    return Step(replace(view.recharge, owner=claimant.name, next_ms=deadline_ms))


def keep(view: View, charge_id: str, claimant: Claimant) -> Step | None:
    """Puts the claimant's deadline off, as long as the charge is still theirs."""
    row = view.recharge
    if row.state not in IN_FLIGHT or (row.owner, row.charge_id) != (claimant.name, charge_id):
        return None
    return take(view, claimant)


def line_of(row: Recharge) -> Line:
    """The line that tells of a row's charge."""
    return Line(
        row.state,
        row.charge_id,
        row.amount_micros,
        row.gateway,
        row.provider_id,
        row.code,
        row.url,
    )


def answered(view: View, charge_id: str, result: Result, wait_ms: int | None) -> Step | None:
    """What an answer about a charge makes of the recharge; None when it is about nothing that is open.

    `wait_ms` is how long to wait before the charge is asked after again; None when it was asked often enough.
    A success must be credited before.
    """
    row = view.recharge
    if row.charge_id != charge_id or row.state not in IN_FLIGHT:
        return None
    row = replace(row, provider_id=result.provider_id or row.provider_id)
    if result.outcome is Outcome.SUCCEEDED:
        return _succeeded(view, row)
    if result.outcome in (Outcome.DECLINED, Outcome.NOT_CHARGED):
        return _not_charged(view, row, result)
    if result.outcome is Outcome.ACTION_REQUIRED:
        return _action_required(view, row, result)
    return _unanswered(view, row, result, wait_ms)


def _succeeded(view: View, row: Recharge) -> Step:
    row = replace(
        row,
        state=RechargeState.COOLING,
        since_ms=view.now_ms,
        next_ms=view.now_ms + row.rule.cooling_seconds * 1000,
        owner="",
        declines=0,
        declined_now=0,
        waits=0,
        code="",
        url="",
    )
    return Step(row, line_of(row))


def _not_charged(view: View, row: Recharge, result: Result) -> Step:
    """The next payment method at once; after the last, a pause that grows, and the third time an end (semantics 54)."""
    passing = result.outcome is Outcome.NOT_CHARGED and result.code in PASSING
    row = replace(
        uncounted(row, view.now_ms),
        state=RechargeState.CLAIMED if passing else RechargeState.DECLINED,
        since_ms=view.now_ms,
        next_ms=view.now_ms,
        owner="",
        method=row.method + 1,
        declined_now=row.declined_now or int(not passing),
        code=result.code,
        url="",
    )
    if row.asked_version != row.rule.version:
        row = replace(
            row, method=0
        )  # another rule: it is armed anew, and begins with its first method
    elif _next_method(row) is None:
        row = _round_over(view, row)
    return Step(row, line_of(row))


def _next_method(row: Recharge) -> Method | None:
    """What is to be asked after a decline: nothing once all were, or the rule was turned off."""
    methods = row.rule.methods if row.rule.enabled else ()
    return methods[row.method] if 0 < row.method < len(methods) else None


def _round_over(view: View, row: Recharge) -> Recharge:
    """Providers that are merely away are no decline, until they were away for most of a day (reliability.md F44)."""
    row = replace(row, method=0, waits=row.waits + 1)
    if not row.declined_now and row.waits < MOST_WAITS:
        return replace(row, next_ms=view.now_ms + _passing_wait_ms(row.waits))
    row = replace(row, declines=row.declines + 1, waits=0, declined_now=0)
    if row.declines >= MOST_DECLINES:
        return replace(row, state=RechargeState.STOPPED, next_ms=0)
    pause_ms = BACK_OFF_MS[row.declines - 1]
    return replace(row, state=RechargeState.DECLINED, next_ms=view.now_ms + pause_ms)


def _passing_wait_ms(waits: int) -> int:
    """A minute, then three times as long, up to two hours: seven tries span six hours."""
    return min(int(60_000 * 3 ** (waits - 1)), 2 * HOUR_MS)


def _action_required(view: View, row: Recharge, result: Result) -> Step | None:
    """Pauses until the customer confirmed at the provider, or somebody arms it again (semantics 55).

    Asked again after somebody did, and still not confirmed: then another charge may be made.
    """
    if row.again:
        return _given_up(view, row)
    told = row.state is RechargeState.ACTION_REQUIRED and row.url == result.action_url
    row = replace(
        row,
        state=RechargeState.ACTION_REQUIRED,
        since_ms=row.since_ms if told else view.now_ms,
        next_ms=_next_look_ms(view, row),
        owner="",
        code=result.code,
        url=result.action_url,
    )
    return Step(row, None if told else line_of(row))


def _given_up(view: View, row: Recharge) -> Step:
    row = armed(replace(view, recharge=uncounted(row, view.now_ms)))
    return Step(row, Line(row.state))


def _next_look_ms(view: View, row: Recharge) -> int:
    """A webhook may never come, so a charge that waits for the customer is looked up now and then, for a day."""
    if row.again:
        return view.now_ms + LOOK_AGAIN_MS
    return 0 if view.now_ms >= row.begun_ms + REVIEW_AFTER_MS else view.now_ms + ACTION_LOOK_MS


def _unanswered(view: View, row: Recharge, result: Result, wait_ms: int | None) -> Step | None:
    """Asked after by and by; after a day a person decides (semantics 52, 53)."""
    pending = result.outcome is Outcome.PENDING
    if row.state is RechargeState.NEEDS_REVIEW:
        return None
    if row.state is RechargeState.ACTION_REQUIRED and not pending:
        return Step(replace(row, owner="", next_ms=_next_look_ms(view, row)))
    review_ms = row.begun_ms + REVIEW_AFTER_MS
    state = RechargeState.CHARGING if pending else RechargeState.UNKNOWN
    if view.now_ms >= review_ms:
        state = RechargeState.NEEDS_REVIEW
    if wait_ms is None:
        wait_ms = LOOK_UP_MS if row.provider_id else REVIEW_AFTER_MS
    told = state is row.state
    row = replace(
        row,
        state=state,
        since_ms=row.since_ms if told else view.now_ms,
        next_ms=0 if state is RechargeState.NEEDS_REVIEW else min(review_ms, view.now_ms + wait_ms),
        owner="",
        rounds=row.rounds + 1,
        code="" if pending else result.code,
        url="",
    )
    return Step(row, None if told else line_of(row))


def uncreditable(view: View, charge_id: str, code: str) -> Step | None:
    """A charge that was made and cannot be credited: a person decides."""
    row = view.recharge
    if row.charge_id != charge_id or row.state not in IN_FLIGHT:
        return None
    row = replace(
        row,
        state=RechargeState.NEEDS_REVIEW,
        since_ms=view.now_ms,
        next_ms=0,
        owner="",
        code=code,
    )
    return Step(row, line_of(row))


def succeeded_late(view: View, charge_id: str, result: Result) -> Step | None:
    """Tells of a charge that succeeded after all, when the recharge has gone on: it stays where it is (semantics 58).

    Of the last charge it is told only when that was taken off the caps, and so was believed to be lost.
    """
    row, amount_micros = view.recharge, result.amount_micros
    if row.charge_id == charge_id and row.counted_ms:
        return None
    row = counted(row, amount_micros, view.now_ms)
    if row.charge_id == charge_id:
        row = replace(row, counted_ms=view.now_ms, provider_id=result.provider_id)
    line = Line(RechargeState.COOLING, charge_id, amount_micros, provider_id=result.provider_id)
    return Step(row, line)
