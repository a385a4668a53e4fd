"""`talktime advice`: when to recharge and by how much, and why."""

import typer

from talktime_server.commands.exits import typed
from talktime_server.commands.money import amount_of, money
from talktime_server.commands.output import facts, line
from talktime_server.commands.session import Session, asks


def advice(session: Session) -> None:
    """Advises when to recharge and by how much, from what the last 30 to 60 days cost, and says why.

    Example: talktime advice --tenant contoso
    """
    with session.client() as client:
        found = client.get_funding_advice()
        tenant_id = client.get_tenant().tenant_id
    code = found.currency_code
    days = found.days_left
    pairs = [
        ("Looked at", f"{found.days:,} full days"),
        ("Spent in a day", f"{money(found.spent_per_day_micros, code)} on average"),
        ("The most in a day", money(found.most_per_day_micros, code)),
        ("What is free lasts", "" if days is None else f"about {days:,} days"),
        ("Trigger", money(found.trigger_micros, code) if found.trigger_micros else ""),
        ("Amount", money(found.amount_micros, code) if found.amount_micros else ""),
    ]
    trigger, amount = amount_of(found.trigger_micros), amount_of(found.amount_micros)
    command = f"recharge set --trigger {trigger} --amount {amount} --tenant {tenant_id}"
    session.show(
        found,
        facts("", pairs),
        line(""),
        *map(line, found.reasoning),
        *([line(""), line(f"  {typed(command)}", "bold")] if found.trigger_micros else []),
    )


def add_to(root: typer.Typer) -> None:
    """Hangs the command below `talktime` itself."""
    asks(root, "advice")(advice)
