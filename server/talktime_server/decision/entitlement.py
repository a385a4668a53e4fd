"""Who may make a call, and what pays for it: one table, read row by row.

A call type and a destination choose a rule. A rule lists what the payer needs, in the order of the
refusals, and the source that pays when all of it is there. Pools, postpaid, dial-out policies and
the premium numbers that some countries may dial belong in this table too; a call type without a row
is not served yet, and says so.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from talktime_server.decision import catalog
from talktime_server.decision.catalog import LicenseKind
from talktime_server.decision.numbering import NO_COUNTRY, Number
from talktime_server.failure import NotServed
from talktime_server.ledger.profiles import Payer
from talktime_server.words import CallType, NumberClass, Reason, SourceKind


class Destination(StrEnum):
    """Where a call goes, as far as licences and prices care."""

    DOMESTIC = "DOMESTIC"
    INTERNATIONAL = "INTERNATIONAL"
    PREMIUM = "PREMIUM"
    SHARED_COST = "SHARED_COST"
    TOLL_FREE_IN = "TOLL_FREE_IN"
    TOLL_IN = "TOLL_IN"


@dataclass(frozen=True, slots=True)
class Need:
    """Something a call cannot do without; `met` and `unmet` go on after "payer alice"."""

    name: str
    holds: Callable[[Payer], bool]
    refusal: Reason
    met: str
    unmet: str


@dataclass(frozen=True, slots=True)
class Rule:
    """What a call needs, in the order of the refusals, and what pays for it."""

    needs: tuple[Need, ...]
    source: SourceKind


@dataclass(frozen=True, slots=True)
class Step:
    """One check: its name, its verdict, and the fact it used, in a sentence."""

    name: str
    passed: bool
    explanation: str


@dataclass(frozen=True, slots=True)
class Entitlement:
    """A source that may pay or the reason for a refusal, never both; `steps` is worked out only
    when asked for.
    """

    source: SourceKind | None
    refusal: Reason | None
    payer: Payer
    number: Number
    destination: Destination
    rule: Rule

    @property
    def steps(self) -> tuple[Step, ...]:
        """Each check in the order made, up to the one that refused."""
        steps = [Step("destination", True, _describe(self.payer, self.number, self.destination))]
        for need in self.rule.needs:
            passed = need.holds(self.payer)
            steps.append(
                Step(need.name, passed, _say(self.payer, need.met if passed else need.unmet))
            )
            if not passed:
                return tuple(steps)
        return (*steps, Step("source", True, _SOURCES[self.rule.source]))


def _holds(*kinds: LicenseKind) -> Callable[[Payer], bool]:
    wanted = catalog.skus(*kinds)
    return lambda payer: not wanted.isdisjoint(payer.licenses)


CALLING_PLAN = Need(
    name="licence",
    holds=_holds(LicenseKind.CALLING_PLAN, LicenseKind.PAY_AS_YOU_GO),
    refusal=Reason.NO_LICENSE,
    met="has a calling plan",
    unmet="has no calling plan; MCOPSTN1, 2, 5, 6, 8 or pay-as-you-go would do",
)

# MCOMEETACPEA is conferencing too, but pays for every leg by the minute: it gets rules of its own.
CONFERENCING = Need(
    name="licence",
    holds=_holds(LicenseKind.CONFERENCING),
    refusal=Reason.NO_LICENSE,
    met="has audio conferencing",
    unmet="organizes the conference and has no audio conferencing; MCOMEETADV would do",
)

CREDITS_LICENSE = Need(
    name="credits licence",
    holds=_holds(LicenseKind.CREDITS),
    refusal=Reason.NO_CREDITS_LICENSE,
    met="has the credits licence",
    unmet="has no licence to draw on the tenant's credits; MCOPSTNC would do, and costs nothing",
)

NOT_PREMIUM = Need(
    name="premium",
    holds=lambda _payer: False,
    refusal=Reason.PREMIUM_BARRED,
    met="may call this premium or shared-cost number",
    unmet="may not call premium and shared-cost numbers",
)

# Barred before the licences are looked at: no licence would help.
_BARRED = Rule((NOT_PREMIUM,), SourceKind.CREDITS)

# The tenant's credits alone decide; whether there are any is the ledger's question.
_TENANT_PAYS = Rule((), SourceKind.CREDITS)

_NOT_SERVED_YET: Mapping[Destination, Rule] = {}

RULES: Mapping[CallType, Mapping[Destination, Rule]] = {
    CallType.USER_OUT: {
        Destination.DOMESTIC: Rule((CALLING_PLAN,), SourceKind.INCLUDED),
        Destination.INTERNATIONAL: Rule((CALLING_PLAN, CREDITS_LICENSE), SourceKind.CREDITS),
        Destination.PREMIUM: _BARRED,
        Destination.SHARED_COST: _BARRED,
    },
    CallType.CONF_OUT: {
        Destination.DOMESTIC: Rule((CONFERENCING, CREDITS_LICENSE), SourceKind.CREDITS),
        Destination.INTERNATIONAL: Rule((CONFERENCING, CREDITS_LICENSE), SourceKind.CREDITS),
        Destination.PREMIUM: _BARRED,
        Destination.SHARED_COST: _BARRED,
    },
    CallType.CONF_IN: {Destination.TOLL_FREE_IN: _TENANT_PAYS},
    CallType.UCAP_IN: {Destination.TOLL_FREE_IN: _TENANT_PAYS},
    CallType.USER_IN: _NOT_SERVED_YET,
    CallType.USER_OUT_CONF: _NOT_SERVED_YET,
    CallType.USER_OUT_TRANSFER: _NOT_SERVED_YET,
    CallType.USER_OUT_FORWARDING: _NOT_SERVED_YET,
    CallType.UCAP_OUT: _NOT_SERVED_YET,
    CallType.UNASSIGNED_IN: _NOT_SERVED_YET,
}

_SOURCES = {
    SourceKind.INCLUDED: "nothing is owed: the call is included",
    SourceKind.CREDITS: "the tenant's credits pay",
}


def entitle(payer: Payer, call_type: CallType, number: Number) -> Entitlement:
    """Decides which source may pay for a payer's call, or why none may. `number` is the called one,
    and no emergency number.
    """
    destination = _destination(payer, call_type, number)
    rule = RULES[call_type].get(destination)
    if rule is None:
        raise _not_served(call_type, destination)
    for need in rule.needs:
        if not need.holds(payer):
            return Entitlement(None, need.refusal, payer, number, destination, rule)
    return Entitlement(rule.source, None, payer, number, destination, rule)


def _destination(payer: Payer, call_type: CallType, number: Number) -> Destination:
    kind = number.number_class
    assert kind is not NumberClass.EMERGENCY, "emergency calls pass before anything here is asked"
    if call_type.inbound:
        return Destination.TOLL_FREE_IN if kind is NumberClass.TOLL_FREE else Destination.TOLL_IN
    if kind is NumberClass.PREMIUM:
        return Destination.PREMIUM
    if kind is NumberClass.SHARED_COST:
        return Destination.SHARED_COST
    return Destination.DOMESTIC if number.country == payer.country else Destination.INTERNATIONAL


def _not_served(call_type: CallType, destination: Destination) -> NotServed:
    where = " on a number that is not toll-free" if destination is Destination.TOLL_IN else ""
    facts = {"call_type": call_type.value, "destination": destination.value}
    return NotServed("CALL_TYPE_NOT_SERVED", f"{call_type}{where} is not served yet", facts=facts)


def _describe(payer: Payer, number: Number, destination: Destination) -> str:
    kind = number.number_class.lower().replace("_", "-")
    whose = _COUNTRY_WORDS.get(number.country) or f"of {number.country}"
    told = f"{number.text} is {'an' if kind[0] == 'o' else 'a'} {kind} number {whose}"
    if destination not in (Destination.DOMESTIC, Destination.INTERNATIONAL):
        return told
    licensed = _say(payer, f"is licensed in {payer.country}")
    return f"{told}; {licensed}, so the call is {destination.lower()}"


def _say(payer: Payer, what: str) -> str:
    return f"payer {payer.payer_id} {what}"


_COUNTRY_WORDS = {NO_COUNTRY: "of no country", "": "of a country we do not know"}
