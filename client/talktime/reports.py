"""What was used, what that advises, and how far the record of it is, as plain Python values.

Amounts are whole micros, millionths of the tenant's currency; instants are UTC.
"""

from dataclasses import dataclass
from datetime import datetime

from talktime.words import CallType


@dataclass(frozen=True, slots=True)
class CallFilter:
    """Picks calls: all that is given must be true of one.

    A call counts by its end: at `start_time` or later, before `end_time`. Without them a list goes back to the first
    call; sums and exports are of the last 30 days. `country` is the one dialled, ISO 3166-1; `capability` is what
    paid, a code of the usage report as "MCOPSTNPP".
    """

    start_time: datetime | None = None
    end_time: datetime | None = None
    payer_id: str = ""
    call_type: CallType | str | None = None
    country: str = ""
    capability: str = ""


@dataclass(frozen=True, slots=True)
class UsageRow:
    """One row of the usage report: a stretch of an ended call that one source paid (domain.md 7).

    `usage_id` is the one unique key: a call with two sources has two rows. The outside number's last digits are masked
    where the tenant's country asks for it. `domestic` is "Domestic" or "International", seen from the payer.
    """

    usage_id: str
    call_id: str
    conference_id: str
    user_location: str
    payer_id: str
    user_principal_name: str
    user_display_name: str
    caller_id: str
    call_type: CallType
    number_type: str
    domestic: str
    destination_country: str
    destination: str
    destination_number: str
    start_time: datetime | None
    end_time: datetime | None
    duration_seconds: int
    connection_fee_micros: int
    charge_micros: int
    currency_code: str
    capability: str
    postpaid: bool
    pool_seconds: int
    pool_id: str


@dataclass(frozen=True, slots=True)
class UsageLine:
    """One line of sums: `key` is a day as "2026-11-21", a payer, a destination, and so on.

    `charge_micros` is what minutes cost, the connection fees apart; `postpaid_micros` is what of both went to the
    invoice.
    """

    key: str
    display_name: str
    calls: int
    duration_seconds: int
    pool_seconds: int
    connection_fee_micros: int
    charge_micros: int
    postpaid_micros: int
    currency_code: str


@dataclass(frozen=True, slots=True)
class UsageReport:
    """Sums of usage: days in order, all else the dearest first, at most 5,000 lines; `totals` are over all calls, one
    line per currency, also when the lines were `truncated`."""

    lines: tuple[UsageLine, ...]
    totals: tuple[UsageLine, ...]
    truncated: bool


@dataclass(frozen=True, slots=True)
class FundingAdvice:
    """When to recharge and by how much, from up to 60 full `days`, with the reasons, sentence by sentence.

    `days_left` is how long what is available lasts, None without use; the trigger is 0 without enough use to say.
    """

    days: int
    spent_per_day_micros: int
    most_per_day_micros: int
    days_left: int | None
    trigger_micros: int
    amount_micros: int
    reasoning: tuple[str, ...]
    currency_code: str


@dataclass(frozen=True, slots=True)
class ArchiveStatus:
    """How far the archive is: journal lines in it and waiting, the age of the oldest that waits, and what is wrong, in
    a sentence each; no alarms is well."""

    entries: int
    waiting: int
    lag_ms: int
    alarms: tuple[str, ...]
    archive_time: datetime | None
