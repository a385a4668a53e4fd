"""What a dialled number is: E.164 or not, its country, its class, and whether it calls for help.

The longest known prefix speaks for a number, looked up in a plain dict, because parsing numbers in
full costs thirty times as much. Emergency numbers are as dialled and depend on the country of who
dials; they are never E.164.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from talktime_server.words import NumberClass

# Written out: \d also takes the digits of other scripts, and $ a trailing newline.
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")

NO_COUNTRY = "001"


class Number(NamedTuple):
    """An E.164 number; `country` is "001" for a number of no country and empty when nothing is
    known of it.
    """

    text: str
    number_class: NumberClass
    country: str


@dataclass(frozen=True, slots=True)
class PrefixClass:
    """What the numbers with a prefix are, unless a longer prefix says otherwise."""

    prefix: str
    country: str
    number_class: NumberClass


def is_e164(text: str) -> bool:
    """Whether a text is "+" and 7 to 15 digits, the first not 0, and nothing else."""
    return _E164.fullmatch(text) is not None


class NumberPlan:
    """Classifies numbers by their prefix and knows the emergency numbers of each country."""

    def __init__(
        self, classes: Iterable[PrefixClass], emergency: Mapping[str, frozenset[str]]
    ) -> None:
        self._classes = {c.prefix: (c.number_class, c.country) for c in classes}
        self._lengths = sorted({len(prefix) for prefix in self._classes}, reverse=True)
        self._emergency = dict(emergency)
        self._emergency_anywhere = frozenset[str]().union(*emergency.values())

    def classify(self, e164: str) -> Number:
        """The number's class and country; an unknown prefix is ordinary and of no known country."""
        digits = e164[1:]
        for length in self._lengths:
            found = self._classes.get(digits[:length])
            if found is not None:
                return Number(e164, *found)
        return Number(e164, NumberClass.ORDINARY, "")

    def is_emergency(self, text: str, country: str) -> bool:
        """Whether a text, as dialled, calls for help in a country; in one we know nothing of,
        whether it does anywhere.
        """
        return text in self._emergency.get(country, self._emergency_anywhere)

    def is_emergency_anywhere(self, text: str) -> bool:
        """Whether a text calls for help in some country: what counts when no profile can be had."""
        return text in self._emergency_anywhere
