"""How a quote is told: each check in the order made, its verdict and its rule, and what would help."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from talktime_server.commands.exits import typed
from talktime_server.commands.output import line, table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from talktime import Check, Quote

Drawing = Callable[[], "RenderableType"]


def explained(quote: "Quote", payer_id: str) -> Iterator[Drawing]:
    """The checks as a table, and for a refusal the next thing that an admin may do."""
    yield checks("Why", quote)
    if help_ := _HELP.get(quote.reason or ""):
        yield line(f"What would help: {help_.format(payer=payer_id or 'PAYER')}", "yellow")


def checks(title: str, quote: "Quote") -> Drawing:
    """The checks of a quote in the order made, up to the one that refused."""
    rows = [("✓" if c.passed else "✗", c.name, _found(c)) for c in quote.explain]
    return table(title, ("", "Check", "What was found, and [the rule]"), rows)


def _found(check: "Check") -> str:
    # In one cell, so that it can be read on a narrow screen, too.
    return f"{check.explanation} [{check.rule}]" if check.rule else check.explanation


def _command(words: str) -> str:
    return f"`{typed(words)}`"


_HELP = {
    "TENANT_SUSPENDED": f"{_command('tenant resume')}, when the reason for it is gone.",
    "PAYER_UNKNOWN": f"{_command('payer put {payer} --country CODE')} makes the payer.",
    "PAYER_BLOCKED": f"{_command('block list')} says why; {_command('block remove {payer}')} ends it.",
    "POLICY": f"{_command('policy show {payer}')} and {_command('limit show {payer}')} say where it may call.",
    "NO_LICENSE": f"{_command('licence list')} says what each is for;"
    f" {_command('licence assign {payer} SKU')} gives one.",
    "NO_CREDITS_LICENSE": f"{_command('licence assign {payer} MCOPSTNC')} lets the payer draw on credits.",
    "NO_RATE": f"a row for the destination in the deck; {_command('rates show')} lists the decks.",
    "RATE_CEILING": f"a higher ceiling: {_command('limit set --max-rate AMOUNT')}, of the tenant or the payer.",
    "CALL_LIMIT": f"fewer calls at a time, or a higher limit: {_command('limit show {payer}')}.",
    "SPEND_LIMIT": f"a higher limit, if the calls are right: {_command('limit show {payer}')}.",
    "POOL_EXHAUSTED": f"the next month, or credits: {_command('pool list')}, {_command('licence assign {payer} MCOPSTNC')}.",
    "INSUFFICIENT_CREDITS": f"{_command('funds add AMOUNT --id INVOICE')} adds credits.",
}
