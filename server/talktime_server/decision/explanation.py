"""Why a verdict came out as it did, check by check, in words an admin understands.

Made only when somebody asks: an authorization that nobody explains pays nothing for it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from talktime_server.decision import catalog, policy, premium
from talktime_server.decision.catalog import ConferencingScope, DialOutPolicy, UserScope
from talktime_server.decision.entitlement import Destination, Draws, Entitlement, Row, rows_for
from talktime_server.decision.geography import domestic_for_minutes, domestic_for_policy
from talktime_server.decision.numbering import NO_COUNTRY
from talktime_server.ledger.profiles import Payer
from talktime_server.ledger.records import Sources
from talktime_server.words import CallType, Reason, SourceKind

# The name of a step that is no check: a fact which explains what comes after it, and refuses nothing.
NOTE = "note"


@dataclass(frozen=True, slots=True)
class Step:
    """One check: its name, its verdict, the fact it used in a sentence, and the rule's name, empty
    where the check is its own rule. One that only notes a fact is called "note".
    """

    name: str
    passed: bool
    explanation: str
    rule: str = ""


def tell(entitlement: Entitlement) -> tuple[Step, ...]:
    """The checks in the order made, up to the one that refused."""
    asked = rows_for(entitlement.case.call_type, entitlement.destination)
    steps = []
    for step in _checks(entitlement, asked):
        steps.append(step)
        if not step.passed:
            break
    return tuple(steps)


def _checks(entitlement: Entitlement, asked: tuple[Row, ...]) -> Iterator[Step]:
    yield Step("destination", True, _number_told(entitlement) + _destination_told(entitlement))
    yield from _policies(entitlement)
    yield from _premium(entitlement)
    yield from _licences(entitlement, asked)
    if entitlement.sources:
        rules = " + ".join(row.rule for row in entitlement.verdict.rows)
        yield Step("source", True, _sources_told(entitlement.sources), rules)


def _policies(entitlement: Entitlement) -> Iterator[Step]:
    payer, case = entitlement.payer, entitlement.case
    if payer is None:
        return
    if case.call_type is CallType.CONF_IN and entitlement.destination is Destination.TOLL_FREE:
        word = "off" if payer.toll_free_dial_in_off else "on"
        told = _say(payer, f"has toll-free dial-in to its conferences turned {word}")
        yield Step("toll-free dial-in", not payer.toll_free_dial_in_off, told)
    if case.call_type.inbound:
        return
    chosen = policy.named(case.policy_name)
    permits = policy.permits(chosen, case.call_type, case.country, case.number_country)
    yield Step("policy", permits, _policy_told(entitlement, payer, chosen), f"policy.{chosen.name}")
    for verdict in policy.judge_prefixes(entitlement.tenant, payer, entitlement.number):
        yield Step("prefixes", verdict.allowed, _prefix_told(verdict), f"prefixes.{verdict.owner}")


def _premium(entitlement: Entitlement) -> Iterator[Step]:
    case = entitlement.case
    if case.call_type.inbound:
        return
    rule = premium.rule_for(
        case.country, case.premium_prefix, case.number_country, case.number_class
    )
    if rule is None:
        return
    kind = rule.number_class.lower().replace("_", "-")
    payers = f"payers licensed in {case.country}"
    under = f"{kind} numbers under +{rule.prefix}" if rule.prefix else f"its {kind} numbers"
    told = f"{payers} may call {under}, for credits alone"
    if not rule.allowed:
        whose = "another country's" if _abroad(entitlement) else "these"
        told = f"{payers} may not call {whose} {kind} numbers"
    yield Step("premium", rule.allowed, told, rule.name)


def _licences(entitlement: Entitlement, asked: tuple[Row, ...]) -> Iterator[Step]:
    payer, verdict = entitlement.payer, entitlement.verdict
    if payer is None:
        return
    if verdict.refusal is Reason.NO_LICENSE:
        rules = " or ".join(row.rule for row in asked)
        yield Step("licence", False, f"{_who(entitlement, payer)} {_lacking(asked)}", rules)
        return
    if any(row.licences for row in verdict.rows):
        rules = " + ".join(row.rule for row in verdict.rows)
        told = f"{_who(entitlement, payer)} {_held_told(payer, verdict.rows)}"
        yield Step("licence", True, told, rules)
    if entitlement.sources is None or not entitlement.sources.free:
        yield _credits_licence(entitlement, payer)


def _credits_licence(entitlement: Entitlement, payer: Payer) -> Step:
    sources, rows = entitlement.sources, entitlement.verdict.rows
    licensed = not catalog.skus(catalog.LicenseKind.CREDITS).isdisjoint(payer.licenses)
    name = "credits licence"
    if licensed:
        return Step(name, True, _say(payer, "has the credits licence"))
    free = next((row.rule for row in rows if row.draws is Draws.ANYONE), "")
    if free:
        told = "such a call draws on the tenant's credits without the credits licence"
        return Step(NOTE, True, told, free)
    if sources:
        after = "the invoice pays" if sources.postpaid else "nothing else may pay"
        when = f"when its pool is used up, {after}" if sources.pools else after
        return Step(NOTE, True, _say(payer, f"has no credits licence: {when}"))
    told = (
        f"has no pool of minutes for this call{_unsold(payer)} and no licence to draw on the"
        " tenant's credits; MCOPSTNC would do, and costs nothing"
    )
    return Step(name, False, _say(payer, told), " + ".join(row.rule for row in rows))


def _unsold(payer: Payer) -> str:
    """Why a plan may bring no minutes: it is not sold where its holder is licensed."""
    sold = catalog.availability().get(payer.country)
    why = _UNSOLD_WORDS.get(sold.calling_plan if sold else "NO")
    return f" ({why} in {payer.country})" if why else ""


def _who(entitlement: Entitlement, payer: Payer) -> str:
    """The payer and, where it is no user, what it is to such a call."""
    actor = catalog.actors()[entitlement.case.call_type]
    return f"payer {payer.payer_id}" + ("" if actor == "user" else f", the {actor},")


def _lacking(rows: tuple[Row, ...]) -> str:
    wanted = {row.licences[0].name: row.licences[0].skus for row in rows}
    # A licence that another one's row names too, as MCOPSTN2 among the calling plans, adds nothing.
    widest = [name for name, skus in wanted.items() if not any(skus < w for w in wanted.values())]
    skus = sorted(frozenset[str]().union(*wanted.values()))
    return f"holds no licence for this call: it takes {' or '.join(widest)} ({', '.join(skus)})"


def _held_told(payer: Payer, rows: tuple[Row, ...]) -> str:
    held = dict.fromkeys(
        sku
        for row in rows
        for licence in row.licences
        for sku in payer.licenses
        if sku in licence.skus
    )
    told = (f"{sku} ({catalog.licenses()[sku].name})" for sku in held)
    return f"holds {', '.join(told)}"


def _sources_told(sources: Sources) -> str:
    if sources.free is SourceKind.INCLUDED:
        return "nothing is owed: the call is included"
    told = [f"pool {pool.pool_id}" for pool in sources.pools]
    told += ["the tenant's credits"] if sources.credits else []
    told += ["the tenant's invoice"] if sources.postpaid else []
    return f"what may pay, in this order: {', then '.join(told)}"


def _number_told(entitlement: Entitlement) -> str:
    number = entitlement.number
    kind = number.number_class.lower().replace("_", "-")
    whose = _COUNTRY_WORDS.get(number.country) or f"of {number.country}"
    return f"{number.text} is {'an' if kind[0] in 'aeio' else 'a'} {kind} number {whose}"


def _destination_told(entitlement: Entitlement) -> str:
    payer, told = entitlement.payer, _DESTINATION_WORDS.get(entitlement.destination)
    if payer is None or told is None:
        return ""
    if entitlement.destination is Destination.DOMESTIC and _abroad(entitlement):
        told = "domestic for minutes: the US, Canada and Puerto Rico count as one"
    return f"; {_say(payer, f'is licensed in {payer.country}')}, so the call is {told}"


def _policy_told(entitlement: Entitlement, payer: Payer, chosen: DialOutPolicy) -> str:
    whose = "the default, as neither payer nor tenant names one,"
    if payer.dial_out_policy:
        whose = "the payer's own,"
    elif entitlement.tenant.dial_out_policy:
        whose = "the tenant's,"
    if entitlement.case.call_type is CallType.CONF_OUT:
        lets = f"lets conferences call {_CONFERENCE_WORDS[chosen.conferencing]}"
        at_home = chosen.conferencing is ConferencingScope.ORGANIZER_COUNTRY
    else:
        lets = f"lets users call {_USER_WORDS[chosen.user_calls]}"
        at_home = chosen.user_calls is UserScope.DOMESTIC
    return f"{chosen.name}, {whose} {lets}{_two_countries(entitlement) if at_home else ''}"


def _two_countries(entitlement: Entitlement) -> str:
    """The one place where a policy and a plan's minutes disagree about what is domestic."""
    countries = entitlement.case.country, entitlement.case.number_country
    if domestic_for_minutes(*countries) and not domestic_for_policy(*countries):
        return "; for a policy the US and Canada are two"
    return ""


def _abroad(entitlement: Entitlement) -> bool:
    return entitlement.case.country != entitlement.case.number_country


def _prefix_told(verdict: policy.PrefixVerdict) -> str:
    lists = f"the {verdict.owner}'s lists of prefixes"
    if verdict.prefix:
        return f"{lists} {'allow' if verdict.allowed else 'block'} numbers under +{verdict.prefix}"
    if verdict.allowed:
        return f"{lists} block no prefix of this number"
    return f"{lists} allow some prefixes, and none of this number"


def _say(payer: Payer, what: str) -> str:
    return f"payer {payer.payer_id} {what}"


_UNSOLD_WORDS = {
    "NO": "calling plans are not sold",
    "PARTNER": "calling plans come from a local carrier",
}

_COUNTRY_WORDS = {NO_COUNTRY: "of no country", "": "of a country we do not know"}

_DESTINATION_WORDS = {
    Destination.DOMESTIC: "domestic",
    Destination.LISTED: "international, to a country that MCOPSTN2 reaches",
    Destination.UNLISTED: "international, to a country that no plan reaches",
    Destination.US_CA: "to the United States or Canada, in Zone A",
    Destination.ZONE_A: "to Zone A",
    Destination.OUTSIDE_ZONE_A: "outside Zone A",
}

_CONFERENCE_WORDS = {
    ConferencingScope.ANY: "everywhere",
    ConferencingScope.ORGANIZER_COUNTRY: "only the organizer's country",
    ConferencingScope.ZONE_A: "only Zone A",
    ConferencingScope.NONE: "nowhere",
}

_USER_WORDS = {
    UserScope.INTERNATIONAL: "everywhere",
    UserScope.DOMESTIC: "only their own country",
    UserScope.NONE: "nowhere",
}
