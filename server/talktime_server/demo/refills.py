"""Scenes of credits that refill themselves: a recharge, a card that has expired, and who hears of it."""

from talktime import (
    CallType,
    NoticeKind,
    PaymentMethod,
    RechargeRule,
    RechargeState,
    Webhook,
)
from talktime_server.demo.places import MOBILE_IN_LONDON, price
from talktime_server.demo.stage import Act
from talktime_server.demo.telling import worded

DOLLAR = 1_000_000
TRIGGER, AMOUNT = 50 * DOLLAR, 100 * DOLLAR
DEARER = 200 * DOLLAR
TALK_S = 600


async def a_recharge(act: Act) -> None:
    """A call takes the balance below the trigger: the card is charged once, and the credits are there."""
    held = price(MOBILE_IN_LONDON, TALK_S)
    await act.step(
        "Litware adds 50 dollars",
        act.accounts.add_funds("invoice-1", TRIGGER),
        answers="added",
        moves=TRIGGER,
    )
    await act.license("nina", "US", "MCOPSTN1", "MCOPSTNC", what="home plan, credits")
    await act.step("It wants notices by webhook", _put_webhook(act), answers="known")
    await act.step(
        "Its rule: below 50, buy 100",
        _rule(act, TRIGGER, "tok_approved"),
        answers="armed",
    )
    await act.step(
        "Nina's call takes it below 50",
        _call_and_recharge(act),
        answers="granted 10 min, recharged",
        moves=AMOUNT - held,
    )
    await act.step(
        "She hangs up after 10 minutes",
        act.calls.settle("nina-1", TALK_S),
        answers="charged",
    )


async def a_declined_card(act: Act) -> None:
    """The card has expired: nothing is charged, calls go on, and another card mends it at once."""
    held = price(MOBILE_IN_LONDON, TALK_S)
    await act.step(
        "Below 200, with an old card",
        _rule(act, DEARER, "tok_expired_card"),
        answers="armed",
    )
    await act.until("The bank says no", lambda: _state(act), answers="declined expired_card")
    await act.step(
        "Nina calls all the same",
        act.calls.authorize("nina", CallType.USER_OUT, MOBILE_IN_LONDON, call_id="nina-2"),
        answers="granted 10 min",
        moves=-held,
    )
    await act.step("Nobody picks up", act.calls.release("nina-2"), answers="given back", moves=held)
    await act.step(
        "A new card is given",
        _another_card(act),
        answers="armed, recharged",
        moves=AMOUNT,
    )


async def who_hears_of_it(act: Act) -> None:
    """Each of it was told once, signed, to the address that Litware gave."""
    await act.until(
        "Told of recharges",
        lambda: _told(act, NoticeKind.RECHARGE_SUCCEEDED),
        answers="2 delivered",
    )
    await act.until(
        "Told of the declined card",
        lambda: _told(act, NoticeKind.RECHARGE_FAILED),
        answers="1 delivered",
    )


async def _call_and_recharge(act: Act) -> str:
    answer = await act.calls.authorize(
        "nina",
        CallType.USER_OUT,
        MOBILE_IN_LONDON,
        call_id="nina-1",
        requested_seconds=TALK_S,
    )
    return f"{worded(answer)}, {await act.seen(lambda: _charged(act, 1), 'recharged')}"


async def _another_card(act: Act) -> str:
    said = await _rule(act, DEARER, "tok_approved")
    return f"{said}, {await act.seen(lambda: _charged(act, 2), 'recharged')}"


async def _rule(act: Act, trigger_micros: int, token: str) -> str:
    method = PaymentMethod("billing", "litware", token)
    await act.accounts.set_recharge_rule(
        RechargeRule(
            enabled=True,
            trigger_micros=trigger_micros,
            amount_micros=AMOUNT,
            payment_methods=(method,),
        )
    )
    return "armed"


async def _put_webhook(act: Act) -> str:
    await act.accounts.put_webhook(Webhook("desk", act.desk_url))
    return "known"


async def _state(act: Act) -> str:
    recharge = (await act.accounts.get_recharge_rule()).recharge
    return f"{recharge.state.lower()} {recharge.decline_code}".strip() if recharge else "none"


async def _charged(act: Act, times: int) -> str:
    """Whether so many recharges are in the balance, and the watch is kept again."""
    recharge = (await act.accounts.get_recharge_rule()).recharge
    if not recharge or recharge.count_today < times:
        return "not yet"
    return "recharged" if recharge.state is RechargeState.ARMED else str(recharge.state)


async def _told(act: Act, kind: NoticeKind) -> str:
    return f"{act.posted.count(kind.value)} delivered"
