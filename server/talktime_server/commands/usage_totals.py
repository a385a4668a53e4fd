"""Sums over an export, made while its rows pass by: whole micros, and dictionaries that do not grow without end."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from talktime import UsageRow

# A deck names thousands of destinations; what is beyond so many keys is summed in one line.
MAX_KEYS = 5_000
OTHERS = "(all others)"


@dataclass(slots=True)
class Total:
    """What some rows add up to."""

    rows: int = 0
    seconds: int = 0
    fee_micros: int = 0
    charge_micros: int = 0
    postpaid_micros: int = 0

    @property
    def spend_micros(self) -> int:
        """Fees and charges, from credits and on the invoice."""
        return self.fee_micros + self.charge_micros

    def add(self, row: "UsageRow") -> None:
        """Counts a row in."""
        self.rows += 1
        self.seconds += row.duration_seconds
        self.fee_micros += row.connection_fee_micros
        self.charge_micros += row.charge_micros
        if row.postpaid:
            self.postpaid_micros += row.connection_fee_micros + row.charge_micros


@dataclass(slots=True)
class Totals:
    """The sums of an export: over all of it, and by day, type of call, what paid, and destination."""

    # By currency: a tenant has one, and sums of two would mean nothing.
    whole: dict[str, Total] = field(default_factory=dict)
    days: dict[tuple[str, str], Total] = field(default_factory=dict)
    call_types: dict[tuple[str, str], Total] = field(default_factory=dict)
    capabilities: dict[tuple[str, str], Total] = field(default_factory=dict)
    destinations: dict[tuple[str, str], Total] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows so far."""
        return sum(total.rows for total in self.whole.values())

    def add(self, row: "UsageRow") -> None:
        """Counts a row in everywhere."""
        currency = row.currency_code
        whole = self.whole.get(currency)
        if whole is None:
            whole = self.whole[currency] = Total()
        whole.add(row)
        day = row.end_time.astimezone(UTC).date().isoformat() if row.end_time else ""
        _total(self.days, day, currency).add(row)
        _total(self.call_types, row.call_type.lower(), currency).add(row)
        _total(self.capabilities, row.capability, currency).add(row)
        _total(self.destinations, row.destination, currency).add(row)

    def passing(self, rows: "Iterable[UsageRow]") -> "Iterable[UsageRow]":
        """The same rows, counted as they pass."""
        for row in rows:
            self.add(row)
            yield row


def dearest_first(totals: dict[tuple[str, str], Total]) -> list[tuple[tuple[str, str], Total]]:
    """By what was spent; what is beyond the bound comes last."""
    return sorted(
        totals.items(),
        key=lambda each: (each[0][0] == OTHERS, -each[1].spend_micros, -each[1].seconds, each[0]),
    )


def _total(totals: dict[tuple[str, str], Total], key: str, currency: str) -> Total:
    found = totals.get((key, currency))
    if found is None:
        if len(totals) >= MAX_KEYS:
            key = OTHERS
        found = totals.setdefault((key, currency), Total())
    return found
