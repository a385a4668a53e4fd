"""`talktime limit`: how much a tenant and each of its payers may call and spend, and where to.

A payer's own limit goes before the one that the tenant sets for each payer. 0 is no limit; for a payer it leaves the
limit to the tenant's.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from talktime_server.commands.exits import Exit, Stop
from talktime_server.commands.money import decimal_of, micros_of
from talktime_server.commands.options import option_of
from talktime_server.commands.output import facts, table
from talktime_server.commands.session import Session, asks

if TYPE_CHECKING:
    from talktime import Payer, Tenant

group = typer.Typer(no_args_is_help=True)
Record = TypeVar("Record", "Payer", "Tenant")

PayerOrTenant = Annotated[
    str, typer.Argument(metavar="[PAYER]", help="The payer; left out, the tenant itself.")
]
_EACH = "The same for each payer without its own (tenant only)."


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit: what people call it, and the fields that hold it, empty where there is none."""

    told: str
    tenant: str = ""
    each: str = ""
    payer: str = ""
    unit: str = ""

    def text(self, value: int) -> str:
        """A limit that is set, for people."""
        if self.unit == "money":
            return decimal_of(value)
        return f"{value:,}{' %' if self.unit == '%' else ''}"


LIMITS = (
    Limit("Open calls at a time", "max_open_calls", "max_open_calls_per_payer", "max_open_calls"),
    Limit(
        "Calls that start in a second",
        "max_calls_per_second",
        "max_calls_per_second_per_payer",
        "max_calls_per_second",
    ),
    Limit(
        "Spend in a day",
        "max_spend_per_day_micros",
        "max_spend_per_day_per_payer_micros",
        "max_spend_per_day_micros",
        "money",
    ),
    Limit(
        "Spend in a month",
        "max_spend_per_month_micros",
        "max_spend_per_month_per_payer_micros",
        "max_spend_per_month_micros",
        "money",
    ),
    Limit(
        "Costly calls in a day",
        "max_costly_calls_per_day",
        "max_costly_calls_per_day_per_payer",
        "max_costly_calls_per_day",
    ),
    Limit(
        "Dearest rate per minute",
        "max_rate_per_minute_micros",
        "",
        "max_rate_per_minute_micros",
        "money",
    ),
    Limit("A call is costly from, per minute", "costly_rate_per_minute_micros", unit="money"),
    Limit("Share of the balance held", each="max_payer_hold_percent", unit="%"),
    Limit("Calls to unassigned numbers in a minute", "max_unassigned_calls_per_minute"),
)


def _count(told: str) -> Any:
    return typer.Option(metavar="COUNT", help=told)


def _amount(told: str) -> Any:
    return typer.Option(metavar="AMOUNT", parser=micros_of, help=told)


def _prefix(told: str) -> Any:
    return typer.Option(metavar="PREFIX", help=told)


Open = Annotated[int | None, _count("Most open calls at a time; 0 is no limit, here and below.")]
OpenEach = Annotated[int | None, _count(_EACH)]
Rate = Annotated[int | None, _count("Most calls that may start in one second.")]
RateEach = Annotated[int | None, _count(_EACH)]
Day = Annotated[int | None, _amount("Most that calls may cost in a UTC day, open ones included.")]
DayEach = Annotated[int | None, _amount(_EACH)]
Month = Annotated[int | None, _amount("The same for a UTC month.")]
MonthEach = Annotated[int | None, _amount(_EACH)]
Costly = Annotated[int | None, _count("Most costly calls that may start in a UTC day.")]
CostlyEach = Annotated[int | None, _count(_EACH)]
CostlyRate = Annotated[
    int | None,
    _amount("Rate per minute from which a call is costly; at 0 only premium ones (tenant only)."),
]
Ceiling = Annotated[int | None, _amount("Dearest rate per minute a call may have.")]
Share = Annotated[
    int | None,
    typer.Option(
        metavar="PERCENT",
        help="Most of the balance that one payer's open calls may hold (tenant only).",
    ),
]
Unassigned = Annotated[
    int | None,
    _count("Most calls to unassigned numbers in a minute; 0 is the default, 60 (tenant only)."),
]
Block = Annotated[
    list[str] | None, _prefix("Numbers under this may not be called, as 1900; repeat for more.")
]
Allow = Annotated[
    list[str] | None, _prefix("With any, only numbers under one of these may be called.")
]
Unlist = Annotated[list[str] | None, _prefix("Take this prefix out of both lists.")]


@asks(group, "set")
def set_(
    session: Session,
    payer_id: PayerOrTenant = "",
    open_calls: Open = None,
    open_calls_each: OpenEach = None,
    calls_per_second: Rate = None,
    calls_per_second_each: RateEach = None,
    spend_per_day: Day = None,
    spend_per_day_each: DayEach = None,
    spend_per_month: Month = None,
    spend_per_month_each: MonthEach = None,
    costly_calls_per_day: Costly = None,
    costly_calls_per_day_each: CostlyEach = None,
    costly_rate: CostlyRate = None,
    max_rate: Ceiling = None,
    payer_share: Share = None,
    unassigned_per_minute: Unassigned = None,
    block: Block = None,
    allow: Allow = None,
    unlist: Unlist = None,
) -> None:
    """Sets limits of a tenant or of one payer: what is not named stays as it is, and 0 takes a limit away.

    Prefixes are digits of the number after "+". The longest one that matches decides; a payer's lists narrow the tenant's.

    Example: talktime limit set --tenant contoso --spend-per-day 200 --spend-per-day-each 20

    Example: talktime limit set alice --tenant contoso --open-calls 2 --max-rate 1.50 --block 1900 --block 881
    """
    wanted = {
        "max_open_calls": open_calls,
        "max_open_calls_per_payer": open_calls_each,
        "max_calls_per_second": calls_per_second,
        "max_calls_per_second_per_payer": calls_per_second_each,
        "max_spend_per_day_micros": spend_per_day,
        "max_spend_per_day_per_payer_micros": spend_per_day_each,
        "max_spend_per_month_micros": spend_per_month,
        "max_spend_per_month_per_payer_micros": spend_per_month_each,
        "max_costly_calls_per_day": costly_calls_per_day,
        "max_costly_calls_per_day_per_payer": costly_calls_per_day_each,
        "costly_rate_per_minute_micros": costly_rate,
        "max_rate_per_minute_micros": max_rate,
        "max_payer_hold_percent": payer_share,
        "max_unassigned_calls_per_minute": unassigned_per_minute,
    }
    given = {field: value for field, value in wanted.items() if value is not None}
    moved = Prefixes(tuple(block or ()), tuple(allow or ()), tuple(unlist or ()))
    if not (given or moved.named):
        raise Stop(Exit.USAGE, "Name a limit to set; `talktime limit set --help` lists them.")
    if payer_id:
        _set_payer(session, payer_id, given, moved)
    else:
        _set_tenant(session, given, moved)


@asks(group, "show")
def show(session: Session, payer_id: PayerOrTenant = "") -> None:
    """Shows the limits of a tenant, or all that one payer's calls are held against, and whose each is.

    Example: talktime limit show --tenant contoso

    Example: talktime limit show alice --tenant contoso
    """
    with session.client() as client:
        tenant = client.get_tenant()
        payer = client.get_payer(payer_id) if payer_id else None
    if payer is None:
        _show_tenant(session, tenant)
    else:
        _show_payer(session, tenant, payer)


@dataclass(frozen=True, slots=True)
class Prefixes:
    """Changes of a pair of prefix lists."""

    block: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    unlist: tuple[str, ...] = ()

    @property
    def named(self) -> bool:
        """Whether there are any."""
        return bool(self.block or self.allow or self.unlist)

    def applied(self, record: Record) -> Record:
        """The record with its lists changed; a prefix is on one of them, the one named last."""
        block, allow, unlist = (
            set(map(_digits, each)) for each in (self.block, self.allow, self.unlist)
        )
        if both := block & allow:
            raise Stop(Exit.USAGE, f"--block and --allow both name {min(both)}.")
        blocked = (set(record.blocked_prefixes) - allow - unlist) | block
        allowed = (set(record.allowed_prefixes) - block - unlist) | allow
        return replace(
            record,
            blocked_prefixes=tuple(sorted(blocked)),
            allowed_prefixes=tuple(sorted(allowed)),
        )


def tenant_limits(tenant: "Tenant") -> list[tuple[str, str, str]]:
    """What a tenant limits: each limit's name, the whole tenant's, and each payer's; those not set are left out."""
    rows = []
    for limit in LIMITS:
        whole = _value(tenant, limit.tenant)
        each = _value(tenant, limit.each)
        if whole or each:
            rows.append(
                (limit.told, limit.text(whole) if whole else "", limit.text(each) if each else "")
            )
    return rows


def payer_limits(payer: "Payer") -> Iterator[tuple[str, str]]:
    """A payer's own limits and lists; those not set are left out."""
    for limit in LIMITS:
        if value := _value(payer, limit.payer):
            yield limit.told, limit.text(value)
    yield from prefix_facts(payer)


def prefix_facts(record: "Payer | Tenant") -> list[tuple[str, str]]:
    """A pair of prefix lists, as digits after "+"."""
    return [
        ("May not call", _listed(record.blocked_prefixes)),
        ("May only call", _listed(record.allowed_prefixes)),
    ]


def _set_tenant(session: Session, given: Mapping[str, Any], moved: Prefixes) -> None:
    with session.client() as client:
        stored = client.put_tenant(moved.applied(replace(client.get_tenant(), **given)))
    _show_tenant(session, stored)


def _set_payer(session: Session, payer_id: str, given: Mapping[str, Any], moved: Prefixes) -> None:
    own = {limit.payer for limit in LIMITS}
    if other := [field for field in given if field not in own]:
        names = ", ".join(map(option_of, other))
        raise Stop(Exit.USAGE, f"{names}: only a tenant has it; leave the payer out.")
    with session.client() as client:
        changed = moved.applied(replace(client.get_payer(payer_id), **given))
        stored = client.put_payer(changed)
        tenant = client.get_tenant()
    _show_payer(session, tenant, stored)


def _show_tenant(session: Session, tenant: "Tenant") -> None:
    rows = tenant_limits(tenant)
    columns = ("Limit", ">Tenant", ">Each payer")
    drawn = table(f"{tenant.tenant_id}, money in {tenant.currency_code}", columns, rows)
    session.show(_tenant_document(tenant), drawn, facts("", prefix_facts(tenant)))


def _show_payer(session: Session, tenant: "Tenant", payer: "Payer") -> None:
    rows = [
        (limit.told, limit.text(value), whose)
        for limit in LIMITS
        for value, whose in _held_against(limit, tenant, payer)
        if value
    ]
    columns = ("Limit", ">At most", "Whose")
    title = f"What calls of {payer.payer_id} are held against, money in {tenant.currency_code}"
    drawn = table(title, columns, rows or [("none is set", "", "")])
    lists = [*prefix_facts(payer)]
    if tenant.blocked_prefixes or tenant.allowed_prefixes:
        lists += [(f"Tenant: {name.lower()}", text) for name, text in prefix_facts(tenant)]
    session.show(_payer_document(tenant, payer), drawn, facts("", lists))


def _held_against(limit: Limit, tenant: "Tenant", payer: "Payer") -> Iterator[tuple[int, str]]:
    """What a payer's calls are held against: its own limit or the tenant's for each payer, and the whole tenant's."""
    whole, own = _value(tenant, limit.tenant), _value(payer, limit.payer)
    if limit.tenant in _ONE_IN_FORCE:
        yield (own, _OWN) if own else (whole, "the tenant's")
    elif limit.tenant != _OF_NO_PAYER:
        yield (own, _OWN) if own else (_value(tenant, limit.each), "the tenant's, for each payer")
        yield whole, "the tenant's, for all its payers together"


# A payer's own ceiling takes the place of the tenant's, and what is costly is the tenant's word alone: neither adds up.
_ONE_IN_FORCE = ("max_rate_per_minute_micros", "costly_rate_per_minute_micros")
# Nobody is assigned to such numbers.
_OF_NO_PAYER = "max_unassigned_calls_per_minute"
_OWN = "its own"


def _tenant_document(tenant: "Tenant") -> dict[str, object]:
    names = [name for limit in LIMITS for name in (limit.tenant, limit.each) if name]
    return {"tenant_id": tenant.tenant_id, **_fields(tenant, names)}


def _payer_document(tenant: "Tenant", payer: "Payer") -> dict[str, object]:
    names = [limit.payer for limit in LIMITS if limit.payer]
    own = {"payer_id": payer.payer_id, **_fields(payer, names)}
    return {**own, "tenant": _tenant_document(tenant)}


def _fields(record: "Payer | Tenant", names: Iterable[str]) -> dict[str, object]:
    lists = ("blocked_prefixes", "allowed_prefixes")
    return {name: getattr(record, name) for name in (*names, *lists)}


def _value(record: "Payer | Tenant", field: str) -> int:
    value: int = getattr(record, field) if field else 0
    return value


def _digits(prefix: str) -> str:
    return prefix.removeprefix("+")


def _listed(prefixes: Iterable[str]) -> str:
    return " ".join(f"+{prefix}" for prefix in prefixes)
