"""Scenes of conferences, service numbers and emergencies: the organizer, the called side, or nobody pays."""

from talktime import CallType, Leg
from talktime_server.demo.places import BERLIN, HELPLINE, LAGOS, PREMIUM, WASHINGTON, price
from talktime_server.demo.stage import Act

LEG_S, TALKED_S = 600, 540


def _legs(name: str, *numbers: str) -> list[Leg]:
    """A conference's legs, as its bridge dials them; the organizer pays for each."""
    return [
        Leg("olga", CallType.CONF_OUT, number, conference_id=name, call_id=f"{name}-{place}")
        for place, number in enumerate(numbers, 1)
    ]


async def a_conference(act: Act) -> None:
    """The bridge asks for all legs at once; conferencing minutes pay, and credits outside their zone."""
    await act.step(
        "All of three legs, or none",
        act.calls.authorize_batch(_legs("board", BERLIN, WASHINGTON, PREMIUM), all_or_none=True),
        answers="0 of 3 granted",
    )
    await act.step(
        "As many of four as may start",
        act.calls.authorize_batch(_legs("weekly", BERLIN, WASHINGTON, LAGOS, PREMIUM)),
        answers="3 of 4 granted",
        moves=-price(LAGOS, LEG_S),
    )
    for call_id, what in (("weekly-1", "Berlin"), ("weekly-2", "Washington")):
        await act.step(
            f"{what} hangs up after 9 min",
            act.calls.settle(call_id, TALKED_S),
            answers="charged 9 min",
        )
    await act.step(
        "Lagos, outside the zone, too",
        act.calls.settle("weekly-3", TALKED_S),
        answers="charged",
        moves=price(LAGOS, LEG_S) - price(LAGOS, TALKED_S),
    )
    await act.step(
        "What conferences have left",
        act.pool_left("zone-a/MCOMEETADV"),
        answers="42 of 60 min left",
    )


async def a_helpline(act: Act) -> None:
    """A toll-free call lasts as long as the credits."""
    bought = price(HELPLINE, 960)
    await act.license("helpline", "GB", "MCOEV_VIRTUALUSER", what="a call queue")
    await act.step(
        f"Woodgrove adds {bought / 1_000_000:.2f} dollars",
        act.accounts.add_funds("invoice-1", bought),
        answers="added",
        moves=bought,
    )
    await act.step(
        "A customer rings the line",
        act.calls.authorize("helpline", CallType.UCAP_IN, HELPLINE, call_id="ring-1"),
        answers="granted 10 min",
        moves=-price(HELPLINE, 600),
    )
    await act.step(
        "Ten more, as far as money goes",
        act.calls.extend("ring-1", sequence=1, additional_seconds=600),
        answers="granted 16 min, the last",
        moves=price(HELPLINE, 600) - bought,
    )
    await act.step(
        "And ten more",
        act.calls.extend("ring-1", sequence=2, additional_seconds=600),
        answers="refused INSUFFICIENT_CREDITS",
    )
    await act.step("They hang up at 16 min", act.calls.settle("ring-1", 960), answers="charged")
    await act.step(
        "The next customer rings",
        act.calls.authorize("helpline", CallType.UCAP_IN, HELPLINE, call_id="ring-2"),
        answers="refused INSUFFICIENT_CREDITS",
    )


async def no_money_left(act: Act) -> None:
    """An emergency call asks for no money."""
    await act.step(
        "Somebody at Woodgrove dials 999",
        act.calls.authorize("helpline", CallType.USER_OUT, "999", call_id="help-1"),
        answers="granted 24 h, for nothing",
    )
    await act.until_recorded("help-1")
    await act.step("It ends", act.calls.settle("help-1", 95), answers="charged nothing")
