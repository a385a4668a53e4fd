"""Where a payer may call: dial-out policies by name, and lists of prefixes (domain.md 8).

One policy has two settings, for conferences and for users; a payer without its own has the
tenant's, and without that either everything is allowed. Prefix lists narrow what a policy allows,
never widen it.
"""

from dataclasses import dataclass
from functools import lru_cache

from talktime_server.decision import catalog
from talktime_server.decision.catalog import ConferencingScope, DialOutPolicy, UserScope, Zone
from talktime_server.decision.geography import domestic_for_policy, home
from talktime_server.decision.numbering import Number
from talktime_server.ledger.profiles import Payer, Tenant
from talktime_server.words import CallType

DEFAULT = "DialoutCPCandPSTNInternational"

_MOST_LISTS = 4096  # kept in a form that is fast to search


@dataclass(frozen=True, slots=True)
class PrefixVerdict:
    """What a pair of lists says of a number. `prefix` is the longest that matched, empty when none
    did; `owner` is "tenant" or "payer".
    """

    owner: str
    allowed: bool
    prefix: str


def named(name: str) -> DialOutPolicy:
    """A policy by its name; an empty one is the default. Names are checked when they are written."""
    return catalog.dial_out_policies()[name or DEFAULT]


def permits(policy: DialOutPolicy, call_type: CallType, country: str, number_country: str) -> bool:
    """Whether a policy lets a payer licensed in `country` call out to a number's country."""
    if call_type is CallType.CONF_OUT:
        return _conference_may(policy.conferencing, country, number_country)
    if policy.user_calls is UserScope.DOMESTIC:
        return domestic_for_policy(country, number_country)
    return policy.user_calls is UserScope.INTERNATIONAL


def judge_prefixes(tenant: Tenant, payer: Payer, number: Number) -> tuple[PrefixVerdict, ...]:
    """What each pair of lists says of a number, the tenant's first; a pair of empty lists is left
    out. The number may be called when every one allows it (semantics 46).
    """
    verdicts = []
    for owner, lists in (("tenant", tenant), ("payer", payer)):
        if lists.blocked_prefixes or lists.allowed_prefixes:
            found = _lists(lists.blocked_prefixes, lists.allowed_prefixes).judge(number.text[1:])
            verdicts.append(PrefixVerdict(owner, *found))
    return tuple(verdicts)


def prefixes_permit(tenant: Tenant, payer: Payer, number: Number) -> bool:
    """Whether every list lets a number be called; asked of each call, so nothing is kept of why."""
    for lists in (tenant, payer):
        if lists.blocked_prefixes or lists.allowed_prefixes:
            pair = _lists(lists.blocked_prefixes, lists.allowed_prefixes)
            if not pair.judge(number.text[1:])[0]:
                return False
    return True


def _conference_may(scope: ConferencingScope, country: str, number_country: str) -> bool:
    if scope is ConferencingScope.ORGANIZER_COUNTRY:
        return domestic_for_policy(country, number_country)
    if scope is ConferencingScope.ZONE_A:
        return home(number_country) in catalog.zone_countries(Zone.ZONE_A)
    return scope is ConferencingScope.ANY


class _PrefixLists:
    """A pair of lists, by prefix: the longest that matches decides, and of the same one in both the
    block. With an allow list, a number under no prefix may not be called.
    """

    def __init__(self, blocked: tuple[str, ...], allowed: tuple[str, ...]) -> None:
        self._verdicts = dict.fromkeys(allowed, True) | dict.fromkeys(blocked, False)
        self._lengths = sorted({len(prefix) for prefix in self._verdicts}, reverse=True)
        self._otherwise = not allowed

    def judge(self, digits: str) -> tuple[bool, str]:
        """Whether the number may be called, and the prefix that says so."""
        for length in self._lengths:
            verdict = self._verdicts.get(digits[:length])
            if verdict is not None:
                return verdict, digits[:length]
        return self._otherwise, ""


@lru_cache(maxsize=_MOST_LISTS)
def _lists(blocked: tuple[str, ...], allowed: tuple[str, ...]) -> _PrefixLists:
    return _PrefixLists(blocked, allowed)
