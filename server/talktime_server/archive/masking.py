"""What reports do not show of the outside number: its last digits, where the tenant's country asks for that (domain.md 7).

The archive keeps numbers whole; they are masked when they are read.
"""

import csv
from functools import cache
from importlib import resources

from talktime_server.words import CallType


@cache
def masked_digits(country: str) -> int:
    """How many last digits the reports of a tenant in this country (ISO 3166-1 alpha-2) leave out."""
    return _table().get(country, 0)


def masked(number: str, digits: int) -> str:
    """A number with so many last digits starred. What is no E.164 (a number for help, as dialled, or
    none at all) is nobody's in person and stays.
    """
    if not (digits and number.startswith("+")):
        return number
    return number[:-digits] + "*" * digits


def shown(caller: str, callee: str, call_type: str, digits: int) -> tuple[str, str]:
    """Both numbers of a call as reports show them: the outside one is the caller of a call that comes
    in, else the callee.
    """
    if CallType(call_type).inbound:
        return masked(caller, digits), callee
    return caller, masked(callee, digits)


@cache
def _table() -> dict[str, int]:
    text = resources.files(__package__).joinpath("number_masking.csv").read_text(encoding="utf-8")
    return {row["country"]: int(row["masked_digits"]) for row in csv.DictReader(text.splitlines())}
