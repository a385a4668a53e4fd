"""A second reading of the business, to hold against talktime's: slow and plain, in the words of domain.md, sharing no code
with the server. `read` says what must come of a case.
"""

from crossing import tables
from crossing.cases import Case, Lists, Verdict
from crossing.countries import same_country
from crossing.funding import dear, fund
from crossing.paying import pay


def read(case: Case) -> Verdict:
    """The checks in their order (domain.md 2); the first that fails gives the reason."""
    funding = fund(case)
    for check in (standing, dial_out, prefix_lists, dear_numbers):
        reason = check(case)
        if reason:
            return Verdict(reason, rows=tuple(funding.rows))
    if funding.missing:
        return Verdict(funding.missing, rows=tuple(funding.rows))
    reason, sources = pay(case, funding)
    return Verdict(reason, sources, tuple(funding.rows))


def standing(case: Case) -> str:
    """Tenant and payer; a call to nobody's number has no payer."""
    if case.tenant.suspended:
        return "TENANT_SUSPENDED"
    if case.call_type == "UNASSIGNED_IN":
        return ""
    if case.payer is None:
        return "PAYER_UNKNOWN"
    return "PAYER_BLOCKED" if case.payer.blocked else ""


def dial_out(case: Case) -> str:
    """The dial-out policy, the payer's own or else the tenant's; and an organizer's word on toll-free dial-in (domain.md 8)."""
    if case.payer and case.call_type == "CONF_IN" and case.number.kind == "toll_free":
        return "POLICY" if case.payer.toll_free_off else ""
    if case.payer is None or not case.outbound:
        return ""
    conferences, users = tables.POLICIES[case.payer.policy or case.tenant.policy]
    permitted = {
        "any": True,
        "international": True,
        "organizer_country": same_country(case),
        "domestic": same_country(case),
        "zone_a": case.number.country in tables.ZONE_A,
        "none": False,
    }
    return "" if permitted[conferences if case.call_type == "CONF_OUT" else users] else "POLICY"


def prefix_lists(case: Case) -> str:
    """The tenant's lists and the payer's must both permit what is dialled."""
    if case.payer is None or not case.outbound:
        return ""
    both = (case.tenant.lists, case.payer.lists)
    return "" if all(permits(lists, case.number.text[1:]) for lists in both) else "POLICY"


def permits(lists: Lists, digits: str) -> bool:
    """The longest prefix that fits decides; when none does, whether some alone may be called."""
    for length in range(len(digits), 0, -1):
        if digits[:length] in lists.blocked:
            return False
        if digits[:length] in lists.allowed:
            return True
    return not lists.allowed


def dear_numbers(case: Case) -> str:
    """Premium and shared-cost numbers may be dialled from their own country where it supports them (domain.md 8)."""
    if not dear(case):
        return ""
    home = case.number.country == case.who.country
    supported = tables.DEAR_SUPPORTED.get(case.who.country, []) if home else []
    fits = any(case.number.text[1:].startswith(prefix) for prefix in supported)
    return "" if fits else "PREMIUM_BARRED"
