"""`talktime recharge`: credits that are bought by themselves when they run low."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from talktime_server.commands.exits import Exit, Stop
from talktime_server.commands.money import decimal_of, micros_of, money
from talktime_server.commands.output import facts, instant, line, table
from talktime_server.commands.picking import word
from talktime_server.commands.session import Session, asks

if TYPE_CHECKING:
    from talktime import Client, PaymentMethod, Recharge, RechargeRule, RuledRecharge

group = typer.Typer(no_args_is_help=True)

NO_RULE = "not set up"
_MARKS = {True: "✓", False: "✗"}
# How each state reads; what must be done about it, where somebody must.
_TOLD = {
    "OFF": "off",
    "ARMED": "armed: the balance is watched",
    "CLAIMED": "about to charge",
    "CHARGING": "the payment provider is asked",
    "UNKNOWN": "the provider's answer was lost and is being found out; nothing else is charged until then",
    "NEEDS_REVIEW": "nobody could find out what became of a charge: look at the provider, then"
    " `talktime recharge resume --charge ID --outcome charged|not-charged`",
    "COOLING": "it succeeded; a pause before the next one",
    "DECLINED": "declined; it is tried again",
    "STOPPED": "stopped after three declines: name another --method with `talktime recharge set`,"
    " or try again with `talktime recharge resume`",
    "ACTION_REQUIRED": "the customer must confirm the payment",
    "CAPPED": "a cap is reached; it goes on when the day or the month is over",
}

Amount = Annotated[
    int | None, typer.Option(metavar="AMOUNT", parser=micros_of, help="How much to buy, as 200.")
]
Trigger = Annotated[
    int | None,
    typer.Option(
        metavar="AMOUNT",
        parser=micros_of,
        help="Buy when what is free falls below this: whole units, as 100.",
    ),
]
Methods = Annotated[
    list[str] | None,
    typer.Option(
        "--method",
        metavar="GATEWAY:CUSTOMER:TOKEN",
        help="What pays, by the provider's references; never a card number. Repeat for those tried next.",
    ),
]
PerDay = Annotated[int | None, typer.Option(min=0, help="Most recharges in a UTC day; 0 is 5.")]
PerMonth = Annotated[
    int | None, typer.Option(min=0, help="Most recharges in a UTC month; 0 is 50.")
]
AmountPerDay = Annotated[
    int | None,
    typer.Option(metavar="AMOUNT", parser=micros_of, help="Most money in a UTC day; 0 is no cap."),
]
AmountPerMonth = Annotated[
    int | None,
    typer.Option(
        metavar="AMOUNT", parser=micros_of, help="Most money in a UTC month; 0 is no cap."
    ),
]


@asks(group, "set")
def set_(
    session: Session,
    trigger: Trigger = None,
    amount: Amount = None,
    method: Methods = None,
    enabled: Annotated[
        bool | None, typer.Option("--on/--off", help="Whether it recharges; a new rule does.")
    ] = None,
    on_settled: Annotated[
        bool | None,
        typer.Option(
            "--on-settled/--on-free",
            help="Compare the trigger with the whole balance, or with what is free of it.",
        ),
    ] = None,
    fill_gap: Annotated[
        bool | None,
        typer.Option(
            "--fill-gap/--one-amount",
            help="Buy the whole gap up to the trigger at once, or one amount at a time.",
        ),
    ] = None,
    per_day: PerDay = None,
    per_month: PerMonth = None,
    amount_per_day: AmountPerDay = None,
    amount_per_month: AmountPerMonth = None,
    cooling: Annotated[
        int | None, typer.Option(metavar="SECONDS", help="Pause after a success.")
    ] = None,
    expire_days: Annotated[
        int | None, typer.Option(min=0, help="Days until what is unused is lost; 0 is 365.")
    ] = None,
) -> None:
    """Sets when credits are recharged, and by how much; what is not named stays as it is.

    It is bought once each time what is free falls below the trigger; at exactly the trigger nothing happens.
    A rule that is set while the money is below its trigger buys at once.
    Try it before, without paying: talktime recharge test.

    Example: talktime recharge set --trigger 100 --amount 200 --method stripe:cus_1234:pm_5678 --tenant contoso

    Example: talktime recharge set --off --tenant contoso
    """
    wanted = {
        "trigger_micros": trigger,
        "amount_micros": amount,
        "payment_methods": tuple(map(_method, method)) if method else None,
        "enabled": enabled,
        "on_settled": on_settled,
        "fill_gap": fill_gap,
        "max_per_day": per_day,
        "max_per_month": per_month,
        "max_amount_per_day_micros": amount_per_day,
        "max_amount_per_month_micros": amount_per_month,
        "cooling_seconds": cooling,
        "expire_days": expire_days,
    }
    given = {field: value for field, value in wanted.items() if value is not None}
    with session.client() as client:
        stored = client.set_recharge_rule(_changed(client, given))
        currency = client.get_tenant().currency_code
    _show(session, stored, currency)


@asks(group, "show")
def show(session: Session) -> None:
    """Shows when credits are recharged, what pays, and where the recharge is.

    Example: talktime recharge show --tenant contoso
    """
    with session.client() as client:
        stored = client.get_recharge_rule()
        currency = client.get_tenant().currency_code
    _show(session, stored, currency)


@asks(group, "test")
def test(session: Session) -> None:
    """Goes through a recharge without charging anybody: each check in order, and why.

    Example: talktime recharge test --tenant contoso
    """
    with session.client() as client:
        trial = client.test_recharge()
        currency = client.get_tenant().currency_code
    rows = [(_MARKS[each.passed], each.check, each.explanation) for each in trial.checks]
    would = f"It would charge {money(trial.charge_micros, currency)} now."
    verdict = would if trial.charge_micros else "It would charge nothing now."
    session.show(trial, table("", ("", "Check", "Why"), rows), line(""), line(verdict, "bold"))


@asks(group, "resume")
def resume(
    session: Session,
    charge: Annotated[
        str, typer.Option(metavar="CHARGE", help="The charge whose outcome you read there.")
    ] = "",
    outcome: Annotated[
        str,
        typer.Option(
            metavar="CHARGED|NOT-CHARGED",
            help="What the payment provider shows of that charge; for operators.",
        ),
    ] = "",
) -> None:
    """Starts a recharge again that stopped: after declines, an action that was required, or a cap.

    A charge whose outcome nobody could find out waits for an operator, who looks it up at the payment provider.
    Only say what you read there: CHARGED adds the credits, NOT-CHARGED lets it charge again.

    Example: talktime recharge resume --tenant contoso

    Example: talktime recharge resume --charge CHARGE --outcome not-charged --tenant contoso
    """
    if bool(charge) != bool(outcome):
        raise Stop(Exit.USAGE, "--charge and --outcome: name both, or neither.")
    decided = word("ChargeOutcome", "--outcome", outcome)
    with session.client() as client:
        recharge = client.resume_recharge(charge_id=charge, outcome=decided)
        currency = client.get_tenant().currency_code
    session.show(recharge, facts("", _state(recharge, currency)))


@asks(group, "history")
def history(
    session: Session,
    last: Annotated[int, typer.Option(min=0, help="Only so many, the newest; 0 shows all.")] = 50,
) -> None:
    """Lists the steps of a tenant's recharges, newest first: what was charged, by what, and how it went.

    Example: talktime recharge history --tenant contoso --last 20
    """
    with session.client() as client:
        steps = []
        for step in client.list_recharges(page_size=min(last, 500) or 500):
            steps.append(step)
            if len(steps) == last:
                break
    rows = [
        (
            instant(step.step_time),
            step.state,
            decimal_of(step.amount_micros) if step.amount_micros else "",
            step.gateway,
            step.charge_id,
            step.provider_id,
            step.decline_code,
        )
        for step in steps
    ]
    columns = ("When", "State", ">Amount", "By", "Charge", "Provider's id", "Declined")
    session.show({"steps": steps}, table("", columns, rows))


def state_told(recharge: "Recharge | None") -> str:
    """Where a recharge is, in words."""
    if recharge is None:
        return NO_RULE
    told = _TOLD.get(recharge.state, recharge.state.lower())
    return f"{told} ({recharge.decline_code})" if recharge.decline_code else told


def _changed(client: "Client", given: dict[str, Any]) -> "RechargeRule":
    from talktime import NotFound, RechargeRule

    try:
        stored = client.get_recharge_rule().rule
    except NotFound as missing:
        if "TENANT" in missing.reason:
            raise
        stored = None
    if stored is not None:
        # Its version goes along, so that a change made meanwhile is not lost.
        return replace(stored, **given)
    needed = [option for field, option in _NEEDED.items() if field not in given]
    if needed:
        raise Stop(Exit.USAGE, f"There is no rule yet; a new one needs {', '.join(needed)}.")
    return RechargeRule(**{"enabled": True, **given})


_NEEDED = {
    "trigger_micros": "--trigger",
    "amount_micros": "--amount",
    "payment_methods": "--method",
}


def _method(text: str) -> "PaymentMethod":
    from talktime import PaymentMethod

    gateway, _, references = text.partition(":")
    customer, _, token = references.partition(":")
    if not (gateway and customer and token):
        # Whatever was typed may be a secret: it is not said again.
        raise Stop(
            Exit.USAGE,
            "--method is GATEWAY:CUSTOMER:TOKEN, as stripe:cus_1234:pm_5678.",
        )
    return PaymentMethod(gateway, customer, token)


def _show(session: Session, stored: "RuledRecharge", currency: str) -> None:
    rule, recharge = stored.rule, stored.recharge
    pairs = [*(_rule(rule, currency) if rule else ()), *_state(recharge, currency)]
    session.show(stored, facts("", pairs))


def _rule(rule: "RechargeRule", currency: str) -> list[tuple[str, object]]:
    def cap(count: int, micros: int) -> str:
        times = f"{count:,} times" if count else "as often as the service lets it"
        return f"{times}, {money(micros, currency)}" if micros else times

    compared = "the whole balance" if rule.on_settled else "what is free"
    buys = money(rule.amount_micros, currency)
    return [
        ("Recharge", "on" if rule.enabled else "off"),
        ("When", f"{compared} is below {money(rule.trigger_micros, currency)}"),
        ("Buys", f"{buys}, as often as fills the gap, in one charge" if rule.fill_gap else buys),
        (
            "Pays by",
            "; then ".join(f"{m.gateway}:{m.customer}:{m.token}" for m in rule.payment_methods),
        ),
        ("At most in a day", cap(rule.max_per_day, rule.max_amount_per_day_micros)),
        ("At most in a month", cap(rule.max_per_month, rule.max_amount_per_month_micros)),
        ("Pause after a success", f"{rule.cooling_seconds} s" if rule.cooling_seconds else ""),
        ("Unused credits end after", f"{rule.expire_days} days" if rule.expire_days else ""),
    ]


def _state(recharge: "Recharge | None", currency: str) -> list[tuple[str, object]]:
    if recharge is None:
        return [("State", NO_RULE)]
    count, micros = recharge.count_today, recharge.amount_today_micros
    month, month_micros = recharge.count_this_month, recharge.amount_this_month_micros
    last = money(recharge.charge_micros, currency) if recharge.charge_micros else ""
    return [
        ("State", state_told(recharge)),
        ("Since", instant(recharge.state_time)),
        ("Next", instant(recharge.next_time)),
        ("Charge", f"{recharge.charge_id}  {last}".strip()),
        ("Declines in a row", recharge.declines or ""),
        ("Confirm the payment at", recharge.action_url),
        ("Today", f"{count:,} times, {money(micros, currency)}" if count else ""),
        ("This month", f"{month:,} times, {money(month_micros, currency)}" if month else ""),
    ]
