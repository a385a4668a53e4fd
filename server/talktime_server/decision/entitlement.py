"""Who may make a call, and what may pay for it: one table, read row by row (domain.md 2).

A call type and a destination choose rows. Each row whose licences the payer holds adds what it gives:
pools in the order of the rows, then the tenant's credits, then the invoice of a postpaid tenant. A
payer with the licences of no row is refused, and so is one with neither a pool nor credits to draw
on. Policies, prefix lists and premium rules are asked before the table, whether there is enough in a
source after it, by the ledger.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from talktime_server.decision import catalog, policy, pools, premium
from talktime_server.decision.catalog import LicenseKind, Zone, zone_countries
from talktime_server.decision.geography import domestic_for_minutes, home
from talktime_server.decision.numbering import Number
from talktime_server.ledger.profiles import Payer, Tenant
from talktime_server.ledger.records import INCLUDED, Pool, Sources
from talktime_server.words import CallType, NumberClass, Reason

# Verdicts kept. A case has no number and seldom a payer in it, so a busy process meets few.
_MOST_CASES = 32_768
_NOBODY = Payer("", "")


class Destination(StrEnum):
    """Where a call goes, as far as its licences care: for users and resource accounts by their
    plan's minutes, for conferences by zone.
    """

    DOMESTIC = "DOMESTIC"
    LISTED = "LISTED"  # abroad, in a country that MCOPSTN2 reaches
    UNLISTED = "UNLISTED"
    US_CA = "US_CA"
    ZONE_A = "ZONE_A"
    OUTSIDE_ZONE_A = "OUTSIDE_ZONE_A"
    PREMIUM = "PREMIUM"  # premium or shared cost, where its country allows it
    BARRED = "BARRED"
    TOLL = "TOLL"
    TOLL_FREE = "TOLL_FREE"


class Draws(StrEnum):
    """Who may draw on the tenant's credits."""

    LICENSED = "LICENSED"  # holders of the credits licence
    ANYONE = "ANYONE"
    NOTHING_OWED = "NOTHING_OWED"  # the call is included


@dataclass(frozen=True, slots=True)
class Licence:
    """A licence that a row asks for: any of `skus`, called `name` in sentences."""

    name: str
    skus: frozenset[str]


class Case(NamedTuple):
    """All that a verdict depends on, so that equal cases are judged once. `owner` is the payer of a
    plan whose minutes are its user's own, empty for every other.
    """

    call_type: CallType
    country: str
    skus: tuple[str, ...]
    owner: str
    number_country: str
    number_class: NumberClass
    premium_prefix: str
    policy_name: str
    toll_free_dial_in_off: bool
    postpaid: bool
    independent_plan_pools: bool
    plans_after_conferencing: bool
    bought: tuple[tuple[str, int], ...]


def _no_pools(_case: Case) -> tuple[Pool, ...]:
    return ()


def _plan_pools(case: Case) -> tuple[Pool, ...]:
    """The payer's own plans, for the number's country."""
    independent = case.independent_plan_pools
    if domestic_for_minutes(case.country, case.number_country):
        return pools.domestic_pools(case.skus, case.country, case.owner, independent=independent)
    if home(case.number_country) in catalog.international_destinations():
        return pools.international_pools(case.skus, case.country, independent=independent)
    return ()


def _zone_pools(case: Case) -> tuple[Pool, ...]:
    """The tenant's dial-out minutes; the organizer's own plans after them is a switch (domain.md 3)."""
    found = pools.conferencing_pools(case.skus, case.number_country, dict(case.bought))
    return (*found, *_plan_pools(case)) if case.plans_after_conferencing else found


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the funding table. All of `licences` must be held."""

    rule: str
    calls: tuple[CallType, ...]
    destinations: tuple[Destination, ...]
    licences: tuple[Licence, ...]
    pools: Callable[[Case], tuple[Pool, ...]]
    draws: Draws

    def held(self, skus: tuple[str, ...]) -> bool:
        """Whether a payer with these licences has what the row asks for."""
        return all(not licence.skus.isdisjoint(skus) for licence in self.licences)


PLAN = Licence("a calling plan", catalog.skus(LicenseKind.CALLING_PLAN))
PAYG = Licence("a pay-as-you-go plan", catalog.skus(LicenseKind.PAY_AS_YOU_GO))
ANY_PLAN = Licence("a calling plan or pay-as-you-go", PLAN.skus | PAYG.skus)
INT_PLAN = Licence("the domestic and international plan", frozenset(("MCOPSTN2",)))
CONF = Licence("audio conferencing", catalog.skus(LicenseKind.CONFERENCING))
PER_MINUTE = Licence(
    "audio conferencing paid per minute", catalog.skus(LicenseKind.CONFERENCING_PER_MINUTE)
)
ADD_ON = Licence(
    "the extended United States and Canada minutes",
    catalog.skus(LicenseKind.CONFERENCING_ADD_ON),
)
RESOURCE = Licence(
    "a resource account licence",
    catalog.skus(LicenseKind.RESOURCE_ACCOUNT, LicenseKind.PHONE),
)
EITHER = Licence(
    "a resource account licence, a calling plan or pay-as-you-go", RESOURCE.skus | ANY_PLAN.skus
)
CREDITS = Licence("the credits licence", catalog.skus(LicenseKind.CREDITS))

_C, _D = CallType, Destination
_USER_OUT = (_C.USER_OUT, _C.USER_OUT_CONF, _C.USER_OUT_TRANSFER, _C.USER_OUT_FORWARDING)
_USER_IN, _CONF_IN, _CONF_OUT = (_C.USER_IN,), (_C.CONF_IN,), (_C.CONF_OUT,)
_UCAP_IN, _UCAP_OUT, _UNASSIGNED = (_C.UCAP_IN,), (_C.UCAP_OUT,), (_C.UNASSIGNED_IN,)
_HOME, _ABROAD, _PREMIUM = (_D.DOMESTIC,), (_D.LISTED, _D.UNLISTED), (_D.PREMIUM,)
_LISTED, _US_CA, _ZONE_A = (_D.LISTED,), (_D.US_CA,), (_D.US_CA, _D.ZONE_A)
_FAR, _TOLL, _TOLL_FREE = (_D.OUTSIDE_ZONE_A,), (_D.TOLL,), (_D.TOLL_FREE,)
_ORDINARY, _ANY_OUT = (*_HOME, *_ABROAD), (*_HOME, *_ABROAD, *_PREMIUM)
_ANY_CONF = (*_ZONE_A, *_FAR, *_PREMIUM)
_ANY_IN = (*_TOLL, *_TOLL_FREE)
_LICENSED, _ANYONE, _FREE = Draws.LICENSED, Draws.ANYONE, Draws.NOTHING_OWED

# A row without a pool leaves credits: there the credits licence must be held, for the invoice too. In a
# row with one it may be missing, and then the pool pays alone, or before the invoice of a postpaid
# tenant, which also pays where the plan has no minutes in the payer's country.
# fmt: off
TABLE = (
    Row("user_out.domestic",       _USER_OUT,   _HOME,      (PLAN,),          _plan_pools, _LICENSED),
    Row("user_out.international",  _USER_OUT,   _ABROAD,    (PLAN,),          _no_pools,   _LICENSED),
    Row("user_out.listed",         _USER_OUT,   _LISTED,    (INT_PLAN,),      _plan_pools, _LICENSED),
    Row("user_out.pay_as_you_go",  _USER_OUT,   _ANY_OUT,   (PAYG,),          _no_pools,   _ANYONE),
    Row("user_out.premium",        _USER_OUT,   _PREMIUM,   (PLAN,),          _no_pools,   _LICENSED),
    Row("conf_out.extended",       _CONF_OUT,   _US_CA,     (CONF, ADD_ON),   _no_pools,   _FREE),
    Row("conf_out.zone_a",         _CONF_OUT,   _ZONE_A,    (CONF,),          _zone_pools, _LICENSED),
    Row("conf_out.outside_zone_a", _CONF_OUT,   _FAR,       (CONF,),          _no_pools,   _LICENSED),
    Row("conf_out.premium",        _CONF_OUT,   _PREMIUM,   (CONF,),          _no_pools,   _LICENSED),
    Row("conf_out.per_minute",     _CONF_OUT,   _ANY_CONF,  (PER_MINUTE,),    _no_pools,   _ANYONE),
    Row("conf_in.toll",            _CONF_IN,    _TOLL,      (CONF,),          _no_pools,   _FREE),
    Row("conf_in.per_minute",      _CONF_IN,    _TOLL,      (PER_MINUTE,),    _no_pools,   _ANYONE),
    Row("conf_in.toll_free",       _CONF_IN,    _TOLL_FREE, (),               _no_pools,   _ANYONE),
    Row("user_in.toll",            _USER_IN,    _TOLL,      (ANY_PLAN,),      _no_pools,   _FREE),
    Row("user_in.toll_free",       _USER_IN,    _TOLL_FREE, (),               _no_pools,   _ANYONE),
    Row("ucap_in.toll",            _UCAP_IN,    _TOLL,      (RESOURCE,),      _no_pools,   _FREE),
    Row("ucap_in.toll_free",       _UCAP_IN,    _TOLL_FREE, (RESOURCE,),      _no_pools,   _ANYONE),
    Row("ucap_out",                _UCAP_OUT,   _ORDINARY,  (EITHER,),        _plan_pools, _ANYONE),
    Row("ucap_out.premium",        _UCAP_OUT,   _PREMIUM,   (EITHER,),        _no_pools,   _ANYONE),
    Row("unassigned_in",           _UNASSIGNED, _ANY_IN,    (),               _no_pools,   _ANYONE),
)
# fmt: on


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the table says of a case: the rows that the payer's licences open, and what may pay or
    why nothing may, never both.
    """

    destination: Destination
    rows: tuple[Row, ...] = ()
    sources: Sources | None = None
    refusal: Reason | None = None


class Entitlement(NamedTuple):
    """The verdict on one call, with what it was made from."""

    verdict: Verdict
    case: Case
    tenant: Tenant
    payer: Payer | None
    number: Number

    @property
    def sources(self) -> Sources | None:
        """What may pay, in order; None for a refusal."""
        return self.verdict.sources

    @property
    def refusal(self) -> Reason | None:
        """Why nothing may pay; None when something may."""
        return self.verdict.refusal

    @property
    def destination(self) -> Destination:
        """Where the call goes, as far as its licences care."""
        return self.verdict.destination


def rows_for(call_type: CallType, destination: Destination) -> tuple[Row, ...]:
    """The rows of the table that speak of such a call."""
    return _ROWS[call_type, destination]


def entitle(
    tenant: Tenant,
    payer: Payer | None,
    call_type: CallType,
    number: Number,
    *,
    payer_id: str = "",
) -> Entitlement:
    """Decides what may pay for a call, or why nothing may, from policy to credits licence.

    `number` is the called one and no emergency number. `payer` is None for a call to an unassigned
    number alone, which the tenant itself pays; who may call at all (suspended, blocked) was asked
    before. `payer_id` says who an impersonal payer is (profiles.py).
    """
    assert number.number_class is not NumberClass.EMERGENCY, "emergency calls pass before this"
    caller = payer or _NOBODY
    assert payer or call_type is CallType.UNASSIGNED_IN, "only unassigned numbers have no payer"
    inbound = call_type in _INBOUND
    case = Case(
        call_type,
        caller.country,
        caller.licenses,
        caller.payer_id or payer_id if _OWN_POOL in caller.licenses else "",
        number.country,
        number.number_class,
        "" if inbound else premium.prefix_of(caller.country, number),
        caller.dial_out_policy or tenant.dial_out_policy,
        caller.toll_free_dial_in_off,
        tenant.postpaid,
        tenant.independent_plan_pools,
        tenant.plans_after_conferencing,
        tenant.bought_licenses,
    )
    verdict = _judge(case)
    if not (inbound or policy.prefixes_permit(tenant, caller, number)):
        verdict = Verdict(verdict.destination, refusal=Reason.POLICY)
    return Entitlement(verdict, case, tenant, payer, number)


_ROWS = {
    (call_type, destination): tuple(
        row for row in TABLE if call_type in row.calls and destination in row.destinations
    )
    for call_type in CallType
    for destination in Destination
}
_INBOUND = frozenset(call_type for call_type in CallType if call_type.inbound)
_OWN_POOL = "MCOPSTN8"


@lru_cache(maxsize=_MOST_CASES)
def _judge(case: Case) -> Verdict:
    destination = _destination(case)
    if not _policy_permits(case, destination):
        return Verdict(destination, refusal=Reason.POLICY)
    if destination is Destination.BARRED:
        return Verdict(destination, refusal=Reason.PREMIUM_BARRED)
    rows = tuple(row for row in rows_for(case.call_type, destination) if row.held(case.skus))
    if not rows:
        return Verdict(destination, refusal=Reason.NO_LICENSE)
    sources = _fund(case, rows)
    if sources is None:
        return Verdict(destination, rows, refusal=Reason.NO_CREDITS_LICENSE)
    return Verdict(destination, rows, sources)


def _fund(case: Case, rows: tuple[Row, ...]) -> Sources | None:
    """What the rows give together; None when they leave only credits, and the payer may not draw on
    them.
    """
    if any(row.draws is Draws.NOTHING_OWED for row in rows):
        return INCLUDED
    found = tuple(dict.fromkeys(pool for row in rows for pool in row.pools(case)))
    licensed = not CREDITS.skus.isdisjoint(case.skus)
    may_draw = licensed or any(row.draws is Draws.ANYONE for row in rows)
    invoiced = case.postpaid and any(row.pools is not _no_pools for row in rows)
    if not (found or may_draw or invoiced):
        return None
    return Sources(None, found, may_draw, case.postpaid, Reason.POOL_EXHAUSTED)


def _policy_permits(case: Case, destination: Destination) -> bool:
    if case.call_type is CallType.CONF_IN:
        return not (destination is Destination.TOLL_FREE and case.toll_free_dial_in_off)
    if case.call_type in _INBOUND:
        return True
    chosen = policy.named(case.policy_name)
    return policy.permits(chosen, case.call_type, case.country, case.number_country)


def _destination(case: Case) -> Destination:
    if case.call_type in _INBOUND:
        toll_free = case.number_class is NumberClass.TOLL_FREE
        return Destination.TOLL_FREE if toll_free else Destination.TOLL
    rule = premium.rule_for(
        case.country, case.premium_prefix, case.number_country, case.number_class
    )
    if rule:
        return Destination.PREMIUM if rule.allowed else Destination.BARRED
    if case.call_type is CallType.CONF_OUT:
        return _conference_destination(home(case.number_country))
    if domestic_for_minutes(case.country, case.number_country):
        return Destination.DOMESTIC
    listed = home(case.number_country) in catalog.international_destinations()
    return Destination.LISTED if listed else Destination.UNLISTED


def _conference_destination(number_country: str) -> Destination:
    if number_country in zone_countries(Zone.US_CA):
        return Destination.US_CA
    in_zone_a = number_country in zone_countries(Zone.ZONE_A)
    return Destination.ZONE_A if in_zone_a else Destination.OUTSIDE_ZONE_A
