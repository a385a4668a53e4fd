"""From an ended call to its rows of the usage report: one for each stretch (domain.md 7). Pure.

The fee and the charge of all rows together are what the ledger charged, to the micro. Which licence
paid is told as reports name it, which is not always how it was bought:

- minutes of a pool: the licence whose pool it is;
- credits and postpaid: MCOPSTNPP, whatever else the payer holds;
- an included call: the first licence of its payer, in the catalogue's order, that such a call may be
  included in and that reports have a name for (an add-on has none, so the licence under it is told);
  when the payer holds none any more, the one that every such payer starts from;
- an emergency call: MCOEV, phone system, which is what lets somebody dial at all;
- talk time that nothing paid for: FREECALL.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import String

from talktime_server.archive.schema import usage_rows
from talktime_server.ledger.entries import Entry
from talktime_server.ledger.profiles import Payer, Tenant
from talktime_server.ledger.records import Call, Ending, Facts, Stretch
from talktime_server.words import CallState, CallType, NumberClass, SourceKind

CREDITS_CAPABILITY = "MCOPSTNPP"
EMERGENCY_CAPABILITY = "MCOEV"
UNPAID_CAPABILITY = "FREECALL"
_USAGE_IDS = UUID("6f1d9c1e-53c2-4b0e-9a57-0d5f2c7b8e41")
_MONEY = frozenset({SourceKind.CREDITS, SourceKind.POSTPAID})
# What a call may be included in, by the beginning of its type: kinds of licences, the likeliest first, and what is told
# of a payer who holds none of them.
_INCLUDED_IN = {
    "USER": (("CALLING_PLAN", "PAY_AS_YOU_GO", "PHONE"), "MCOEV"),
    "CONF": (("CONFERENCING", "CONFERENCING_PER_MINUTE"), "MCOMEETADD"),
    "UCAP": (("RESOURCE_ACCOUNT", "PHONE", "CALLING_PLAN"), "MCOEV_VIRTUALUSER"),
    "UNASSIGNED": ((), "MCOEV"),
}
_WIDTHS: dict[str, int] = {
    column.name: column.type.length
    for column in usage_rows.columns
    if isinstance(column.type, String) and column.type.length
}
UsageFields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Licence:
    """A licence as it is assigned, what it is for, and what reports call it; empty when they do not."""

    sku: str
    kind: str
    capability: str


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What rows need to know of the built-in facts: licences in their order, names of countries by
    code, whether a plan's minutes take two countries (the payer's, the number's) for one, and
    whether a number is toll-free.
    """

    licences: tuple[Licence, ...]
    countries: Mapping[str, str]
    domestic: Callable[[str, str], bool]
    toll_free: Callable[[str], bool]

    def pool_capability(self, pool_id: str) -> str:
        """What reports call the licence of a pool, "US/MCOPSTN1" or "zone-a/MCOMEETADV"."""
        sku = pool_id.split("/")[1] if "/" in pool_id else pool_id
        found = (licence.capability for licence in self.licences if licence.sku == sku)
        return next(found, "") or sku

    def included_in(self, call_type: str, held: tuple[str, ...]) -> str:
        """What reports call the licence that a call of a payer with these licences is included in."""
        kinds, otherwise = _INCLUDED_IN[call_type.partition("_")[0]]
        named = [each for each in self.licences if each.sku in held and each.capability]
        for kind in kinds:
            for licence in named:
                if licence.kind == kind:
                    return licence.capability
        return otherwise


@dataclass(frozen=True, slots=True)
class Ended:
    """An ended call, the line that ended it, and whose it was when that line was written."""

    entry: Entry
    call: Call
    tenant: Tenant | None
    payer: Payer | None

    @property
    def ending(self) -> Ending:
        """How it ended."""
        assert self.call.ending is not None
        return self.call.ending

    @property
    def since_ms(self) -> int:
        """When this call began, of all that ever had its id: an id may be used again long after its
        receipt is gone, and those rows are another call's.
        """
        return self.call.first.decided_ms if self.call.first else self.ending.ended_ms


def rows_of(ended: Ended, catalogue: Catalogue) -> list[UsageFields]:
    """The rows of a call, in the order of its stretches; none for a call that nobody answered."""
    common = _common(ended, catalogue)
    rows, at_ms = [], _starts_ms(ended)
    for number, (stretch, fee_micros) in enumerate(_parts(ended)):
        until_ms = at_ms + stretch.seconds * 1000
        own = _own(ended, stretch, fee_micros, catalogue)
        times = {"started_ms": at_ms, "stopped_ms": until_ms}
        rows.append(_fitted({**common, **own, **times, "usage_id": _usage_id(ended, number)}))
        at_ms = until_ms
    return rows


def _common(ended: Ended, catalogue: Catalogue) -> UsageFields:
    facts, payer = ended.call.facts, ended.payer
    bot = facts.call_type.startswith("UCAP")
    location = payer.country if payer else ""
    country = _country(facts, location)
    return {
        "tenant_id": ended.entry.tenant_id,
        "version": ended.entry.version,
        "call_id": ended.entry.reference,
        "conference_id": facts.conference_id,
        "payer_id": facts.payer_id,
        "user_location": location,
        "user_principal_name": payer.user_principal_name if payer and not bot else "",
        "user_display_name": payer.display_name if payer and not bot else "",
        "caller_number": facts.from_number,
        "callee_number": facts.to_number,
        "call_type": facts.call_type,
        "number_type": _number_type(facts, catalogue),
        "domestic": _domestic(facts, location, catalogue),
        "country": country,
        "destination": facts.destination or catalogue.countries.get(country, country),
        "ended_ms": ended.ending.ended_ms,
        "currency": ended.tenant.currency if ended.tenant else "",
    }


def _own(ended: Ended, stretch: Stretch, fee_micros: int, catalogue: Catalogue) -> UsageFields:
    used = {part.pool_id: part.used_seconds for part in ended.call.slices}
    return {
        "duration_seconds": stretch.seconds,
        "connection_fee_micros": fee_micros,
        "charge_micros": stretch.amount_micros - fee_micros,
        "capability": _capability(ended, stretch, catalogue),
        "postpaid": stretch.kind is SourceKind.POSTPAID,
        "pool_id": stretch.pool_id,
        "pool_seconds": used.get(stretch.pool_id, 0) if stretch.pool_id else 0,
    }


def _parts(ended: Ended) -> Iterator[tuple[Stretch, int]]:
    """The stretches, each with its part of the connection fee. The fee falls due at the start of a
    call, so it is in the money that pays from the first second, and in none that comes after a pool.
    """
    call, ending = ended.call, ended.ending
    if not ending.duration_seconds:
        return
    stretches = ending.stretches
    opens = bool(stretches) and stretches[0].kind in _MONEY
    fee_micros = call.terms.connection_fee_micros if opens else 0
    for stretch in stretches:
        own_micros = min(fee_micros, stretch.amount_micros)
        fee_micros -= own_micros
        yield stretch, own_micros
    unpaid = ending.duration_seconds - sum(stretch.seconds for stretch in stretches)
    if unpaid > 0:
        yield Stretch(SourceKind.INCLUDED, unpaid), 0


def _starts_ms(ended: Ended) -> int:
    """When talk began. Who settles in time does so when the call ends; of one that was settled late,
    or by time, only its decision is known, and of one that never asked, only its end.
    """
    ending, length_ms = ended.ending, ended.ending.duration_seconds * 1000
    if ended.call.first is None:
        return ending.ended_ms - length_ms
    decided_ms = ended.call.first.decided_ms
    if ending.late or ended.call.state is CallState.EXPIRED:
        return decided_ms
    return max(decided_ms, ending.ended_ms - length_ms)


def _capability(ended: Ended, stretch: Stretch, catalogue: Catalogue) -> str:
    if stretch.kind in _MONEY:
        return CREDITS_CAPABILITY
    if stretch.kind is SourceKind.POOL:
        return catalogue.pool_capability(stretch.pool_id)
    if ended.call.free is None:
        return UNPAID_CAPABILITY
    if ended.call.free is SourceKind.EMERGENCY:
        return EMERGENCY_CAPABILITY
    held = ended.payer.licenses if ended.payer else ()
    return catalogue.included_in(ended.call.facts.call_type, held)


def _number_type(facts: Facts, catalogue: Catalogue) -> str:
    """Kind of the tenant's own number: the called one of a call that comes in, else the caller's."""
    if facts.call_type.startswith("USER"):
        return "Subscriber"
    toll_free = facts.number_class == NumberClass.TOLL_FREE
    if not CallType(facts.call_type).inbound:
        toll_free = bool(facts.from_number) and catalogue.toll_free(facts.from_number)
    return "TollFree" if toll_free else "Service"


def _domestic(facts: Facts, location: str, catalogue: Catalogue) -> str:
    """Seen from the payer; nobody looks at a call that comes in that way."""
    if CallType(facts.call_type).inbound:
        return ""
    if facts.number_class == NumberClass.EMERGENCY:
        return "Domestic"
    if not (location and facts.country):
        return ""
    return "Domestic" if catalogue.domestic(location, facts.country) else "International"


def _country(facts: Facts, location: str) -> str:
    """The country dialled; help comes from one's own, and a number of no country has none."""
    if facts.number_class == NumberClass.EMERGENCY:
        return facts.country or location
    return facts.country if len(facts.country) == 2 else ""


def _usage_id(ended: Ended, number: int) -> str:
    """The same for the same call and stretch whenever it is worked out, and no other's."""
    name = (ended.entry.tenant_id, ended.entry.reference, str(ended.since_ms), str(number))
    return str(uuid5(_USAGE_IDS, "\x1f".join(name)))


def _fitted(row: UsageFields) -> UsageFields:
    """A text that is longer than its column is cut: one odd name must not keep every line behind it
    from the archive.
    """
    for name, width in _WIDTHS.items():
        if len(row[name]) > width:
            row[name] = row[name][:width]
    return row
