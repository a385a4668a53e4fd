"""`talktime funds`: a tenant's credits, as they come in, are corrected, are taken back, and are spent."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from talktime_server.commands.exits import Exit
from talktime_server.commands.money import decimal_of, micros_of, money, signed
from talktime_server.commands.output import facts, instant, line, plain, table
from talktime_server.commands.recharges import NO_RULE, state_told
from talktime_server.commands.session import Session, asks

if TYPE_CHECKING:
    from talktime import Balance, BalanceReading, Lot, TenantBalance

group = typer.Typer(no_args_is_help=True)

Amount = Annotated[
    int, typer.Argument(metavar="AMOUNT", parser=micros_of, help="How much, as 250 or 99.50.")
]
ExpireDays = Annotated[
    int, typer.Option(min=0, help="Days until what is unused is lost; 0 is 365.")
]
Reason = Annotated[str, typer.Option(help="Why, for whoever asks later; it is kept.")]
LOT_COLUMNS = ("Funding", "Funded", ">Amount", ">Left", "Unused is lost")
_AGAIN = "the first one again: it was done before"
_WATCHED = (("When", 23), (">Balance", 12), (">Set aside", 10), (">Free", 12), (">Calls", 5))


@asks(group, "add")
def add(
    session: Session,
    amount: Amount,
    funding_id: Annotated[
        str,
        typer.Option(
            "--id",
            help="The purchase, as an invoice number: it is added once, however often asked.",
        ),
    ],
    expire_days: ExpireDays = 0,
    purchase_order: Annotated[
        str, typer.Option(help="The customer's own reference, as a purchase order number.")
    ] = "",
) -> None:
    """Adds credits to a tenant, once per id.

    Example: talktime funds add 250 --id INV-2041 --tenant contoso

    Example: talktime funds add 5000 --id INV-2042 --purchase-order PO-77 --tenant contoso
    """
    with session.client() as client:
        receipt = client.add_funds(
            funding_id, amount, expire_days=expire_days, purchase_order=purchase_order
        )
    pairs = [
        ("Added", money(amount, receipt.balance.currency_code if receipt.balance else "")),
        ("Answer", "the first one again: it was added before" if receipt.replayed else ""),
        *money_facts(receipt.balance),
        ("Unused credits end", instant(receipt.expire_time)),
    ]
    session.show(receipt, facts("", pairs))


# Typer takes "-12.50" for an option unless it is told otherwise.
@asks(group, "adjust", context_settings={"ignore_unknown_options": True})
def adjust(
    session: Session,
    amount: Annotated[
        int,
        typer.Argument(
            metavar="AMOUNT", parser=micros_of, help="How much to add, or below zero to take away."
        ),
    ],
    adjustment_id: Annotated[
        str, typer.Option("--id", help="The correction: it is made once, however often asked.")
    ],
    reason: Reason,
    expire_days: ExpireDays = 0,
) -> None:
    """Corrects a tenant's credits, up or down, once per id, and writes down why.

    Example: talktime funds adjust -12.50 --id ADJ-7 --reason "billed twice" --tenant contoso
    """
    with session.client() as client:
        receipt = client.adjust_funds(adjustment_id, amount, reason, expire_days=expire_days)
    currency = receipt.balance.currency_code if receipt.balance else ""
    pairs = [
        ("Corrected by", f"{signed(amount)} {currency}"),
        ("Answer", _AGAIN if receipt.replayed else ""),
        *money_facts(receipt.balance),
    ]
    session.show(receipt, facts("", pairs))


@asks(group, "refund")
def refund(
    session: Session,
    amount: Amount,
    funding_id: Annotated[
        str, typer.Option("--of", metavar="FUNDING", help="What was funded, as INV-2041.")
    ],
    refund_id: Annotated[
        str, typer.Option("--id", help="The refund: it is taken once, however often asked.")
    ],
    reason: Reason,
    chargeback: Annotated[
        bool, typer.Option("--chargeback", help="The customer's bank took it back.")
    ] = False,
) -> None:
    """Takes back what was funded, or a part of it, once per id.

    It is taken in full, even below zero: calls that run go on, new ones wait for money.
    All refunds of a funding together are never more than it was.

    Example: talktime funds refund 25 --of INV-2041 --id RF-9 --reason "order cancelled" --tenant contoso
    """
    with session.client() as client:
        receipt = client.refund_funds(refund_id, funding_id, amount, reason, chargeback=chargeback)
    currency = receipt.balance.currency_code if receipt.balance else ""
    pairs = [
        ("Taken back", money(amount, currency)),
        (f"Taken back of {funding_id}, in all", money(receipt.funding_refunded_micros, currency)),
        ("Answer", _AGAIN if receipt.replayed else ""),
        *money_facts(receipt.balance),
    ]
    session.show(receipt, facts("", pairs))


@asks(group, "show")
def show(session: Session) -> None:
    """Shows what is left of each funding, oldest first, as it is spent; when it is lost, and how long it lasts.

    Example: talktime funds show --tenant contoso
    """
    with session.client() as client:
        now = client.get_balance()
    session.show(
        now,
        facts("", [*money_facts(now.balance), *outlook(now)]),
        line(""),
        table("What is left of each funding", LOT_COLUMNS, lot_rows(now.lots))
        if now.lots
        else line("No credits are left. `talktime funds add` adds some."),
    )


@asks(group, "watch")
def watch(
    session: Session,
    count: Annotated[
        int, typer.Option(min=0, help="End after so many lines; 0 goes on until Ctrl-C.")
    ] = 0,
) -> None:
    """Follows a tenant's money: a line now and one whenever it changes. With --json each line is a document.

    A service that restarts is waited for. `talktime recharge show` says what the state of a recharge means.

    Example: talktime funds watch --tenant contoso
    """
    try:
        with session.client() as client:
            for number, reading in enumerate(client.watch_balance(), 1):
                _tell(reading, number, as_json=session.output.as_json)
                if number == count:
                    break
    except KeyboardInterrupt:
        # That is how one stops watching.
        raise typer.Exit(int(Exit.INTERRUPTED)) from None


def money_facts(now: "Balance | None") -> list[tuple[str, object]]:
    """What there is, what is set aside, and what is free."""
    if now is None:
        return []
    return [
        ("Balance", money(now.settled_micros, now.currency_code)),
        ("Set aside for calls", money(now.held_micros, now.currency_code)),
        ("Free", money(now.available_micros, now.currency_code)),
    ]


def outlook(now: "TenantBalance") -> list[tuple[str, object]]:
    """How long it lasts, and what brings more."""
    days = now.days_left
    lasts = "" if days is None else "less than a day" if days == 0 else f"about {days:,} days"
    return [
        ("Lasts, at the pace of 30 days", "about 1 day" if days == 1 else lasts),
        ("Unused credits end", instant(now.expire_time)),
        ("Recharge", state_told(now.recharge)),
    ]


def lot_rows(lots: "Iterable[Lot]") -> list[tuple[object, ...]]:
    """Lots as lines of a table with the columns above."""
    return [
        (
            lot.funding_id,
            instant(lot.fund_time),
            decimal_of(lot.amount_micros),
            decimal_of(lot.left_micros),
            instant(lot.expire_time),
        )
        for lot in lots
    ]


def _tell(reading: "BalanceReading", number: int, *, as_json: bool) -> None:
    """Writes at once: whoever reads a pipe waits for the line."""
    if as_json:
        sys.stdout.write(json.dumps(plain(reading), ensure_ascii=False) + "\n")
    else:
        if number == 1:
            sys.stdout.write(
                _aligned([name.removeprefix(">") for name, _ in _WATCHED]) + "  Recharge\n"
            )
        sys.stdout.write(
            _aligned(_watched(reading))
            + f"  {reading.recharge.state if reading.recharge else NO_RULE}\n"
        )
    sys.stdout.flush()


def _watched(reading: "BalanceReading") -> list[str]:
    now = reading.balance
    sums = (now.settled_micros, now.held_micros, now.available_micros) if now else (0, 0, 0)
    return [instant(reading.read_time), *map(decimal_of, sums), f"{reading.open_calls:,}"]


def _aligned(cells: Sequence[str]) -> str:
    return "  ".join(
        cell.rjust(width) if name.startswith(">") else cell.ljust(width)
        for cell, (name, width) in zip(cells, _WATCHED, strict=True)
    )
