"""Finds what looks like a card number. None is ever accepted, stored or logged (reliability.md B82, C21)."""

import re
import unicodedata
from collections.abc import Sequence

LEAST_DIGITS, MOST_DIGITS = 13, 19
# People write a number in groups, with a space or a dash between them, of whatever width.
_GROUPS = re.compile(r"[0-9]+(?:[\s\u00ad\u2010-\u2015\u2212_-]{1,3}[0-9]+)*")


def looks_like_card(text: str) -> bool:
    """Whether 13 to 19 digits with a right check digit (Luhn) stand anywhere in a text, spaces and dashes apart.

    Groups of digits are taken whole: a run of more than 19 digits is no card number, whatever is within it.
    """
    plain = unicodedata.normalize("NFKC", text)
    return any(
        _holds_card(re.findall(r"[0-9]+", run)) for run in _GROUPS.findall(_ascii_digits(plain))
    )


def _ascii_digits(text: str) -> str:
    return "".join(str(unicodedata.digit(c)) if c.isdigit() else c for c in text)


def _holds_card(groups: Sequence[str]) -> bool:
    return any(_from(groups[start:]) for start in range(len(groups)))


def _from(groups: Sequence[str]) -> bool:
    """Whether the first groups together are a card number."""
    digits = ""
    for group in groups:
        digits += group
        if len(digits) > MOST_DIGITS:
            return False
        if len(digits) >= LEAST_DIGITS and _luhn(digits):
            return True
    return False


def _luhn(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (1 + place % 2)
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0
