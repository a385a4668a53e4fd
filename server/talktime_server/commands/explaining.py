"""How a quote is told: each check in the order made, its verdict and its rule, and what would help."""

import shlex
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from talktime_server.commands.exits import typed
from talktime_server.commands.output import line, table
from talktime_server.commands.session import Session

if TYPE_CHECKING:
    from rich.console import RenderableType

    from talktime import Check, Leg, Quote

Drawing = Callable[[], "RenderableType"]

# The service's name for a fact that nothing checked.
_NOTE = "note"
_DIAL_IN = "toll-free dial-in"


def explained(quote: "Quote", payer_id: str, tenant_id: str) -> Iterator[Drawing]:
    """The checks as a table, and for a refusal the next thing that an admin may do, as it can be typed."""
    yield checks("Why", quote)
    reason = quote.reason or ""
    if quote.explain and quote.explain[-1].name == _DIAL_IN:
        reason = _DIAL_IN
    if help_ := _HELP.get(reason):
        # Ids have no character that a shell or a format would take for its own.
        named = {
            "payer": payer_id or "PAYER",
            "name": tenant_id or "TENANT",
            "tenant": _of(tenant_id),
        }
        yield line(f"What would help: {help_.format(**named)}", "yellow")


def checks(title: str, quote: "Quote") -> Drawing:
    """The checks of a quote in the order made, up to the one that refused. What was only noted has no tick."""
    rows = [(_mark(c), c.name, _found(c)) for c in quote.explain]
    return table(title, ("", "Check", "What was found, and [the rule]"), rows)


def explainable(reason: str | None) -> bool:
    """Whether a quote of the same call would tell why it was refused: not for another leg's sake or by its own end."""
    return reason not in (None, "", "BATCH_REFUSED", "ALREADY_SETTLED")


def ask_why(session: Session, leg: "Leg", region: str = "") -> Drawing:
    """The command that explains a call which was refused."""
    words = ["call quote", shlex.quote(leg.payer_id), shlex.quote(leg.to_number)]
    options = (
        ("--type", "" if leg.call_type == "USER_OUT" else leg.call_type),
        ("--from", leg.from_number),
        ("--region", region),
    )
    words += [f"{name} {shlex.quote(value)}" for name, value in options if value]
    asked = typed(" ".join(words)) + _of(session.tenant_id)
    return line(f"Why, check by check: {asked}", "yellow")


def _of(tenant_id: str) -> str:
    # Without one the token is for a single tenant, which need not be named.
    return f" --tenant {shlex.quote(tenant_id)}" if tenant_id else ""


def _mark(check: "Check") -> str:
    if check.name == _NOTE:
        return "\N{EN DASH}"
    return "✓" if check.passed else "✗"


def _found(check: "Check") -> str:
    # In one cell, so that it can be read on a narrow screen, too.
    return f"{check.explanation} [{check.rule}]" if check.rule else check.explanation


def _command(words: str, of: str = "{tenant}") -> str:
    return f"`{typed(words)}{of}`"


_HELP = {
    "TENANT_SUSPENDED": f"{_command('tenant resume {name}', '')}, when the reason for it is gone.",
    "PAYER_UNKNOWN": f"{_command('payer put {payer} --country CODE')} makes the payer.",
    "PAYER_BLOCKED": f"{_command('block list')} says why; {_command('block remove {payer}')} ends it.",
    "POLICY": f"{_command('policy show {payer}')} and {_command('limit show {payer}')} say where it may call.",
    _DIAL_IN: f"{_command('payer put {payer} --toll-free')} turns it on, at the tenant's cost.",
    "PREMIUM_BARRED": "nothing opens it: no licence and no setting reaches such numbers from the payer's country.",
    "NO_LICENSE": f"{_command('licence list', '')} says what each is for;"
    f" {_command('licence assign {payer} SKU')} gives one.",
    "NO_CREDITS_LICENSE": f"{_command('licence assign {payer} MCOPSTNC')} lets the payer draw on credits.",
    "NO_RATE": f"a row for the destination in the deck; {_command('rates show', '')} lists the decks.",
    "RATE_CEILING": f"a higher ceiling: {_command('limit set --max-rate AMOUNT')}, of the tenant or the payer.",
    "CALL_LIMIT": f"fewer calls at a time, or a higher limit: {_command('limit show {payer}')}.",
    "SPEND_LIMIT": f"a higher limit, if the calls are right: {_command('limit show {payer}')}.",
    "POOL_EXHAUSTED": f"the next month, or credits: {_command('pool list')}, {_command('licence assign {payer} MCOPSTNC')}.",
    "INSUFFICIENT_CREDITS": f"{_command('funds add AMOUNT --id INVOICE')} adds credits.",
}
