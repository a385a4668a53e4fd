"""The built-in facts beside another set of the same ones, brought into one shape so that they can be
compared: what is said of each key, as a text.

The other set keeps its facts as published, one wide CSV file for each subject. Ours are laid out for
the decision, so each subject is read twice here, once from either side.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from talktime_server.decision import catalog

Row = Mapping[str, str]
Said = dict[str, str]


@dataclass(frozen=True, slots=True)
class Subject:
    """A subject of both sets: the other's file and its columns, how each side is read, and why a key
    that only ours has is no difference, empty where it is one.
    """

    file: str
    columns: tuple[str, ...]
    ours: Callable[[], Said]
    theirs: Callable[[list[Row]], Said]
    beyond: Callable[[str], str] = lambda _key: ""


def _ours_licenses() -> Said:
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for row in catalog.rows("licenses"):
        found[row["usage_capability"] or row["sku"]].append(row)
    return {
        key: _license(
            [row["sku"] for row in rows if row["sku_published"] == "yes"],
            _POOLING[rows[0]["pooling"]],
        )
        for key, rows in found.items()
    }


def _their_licenses(rows: list[Row]) -> Said:
    return {
        row["usage_capability"] or row["license_sku"]: _license(
            row["license_sku"].split(" or "), row["pooled"]
        )
        for row in rows
    }


def _license(skus: list[str], pooled: str) -> str:
    bought = " or ".join(sorted(filter(None, skus))) or "no published SKU"
    return f"{bought}; pooled: {pooled or 'not said'}"


def _license_beyond(key: str) -> str:
    published = {
        row["sku"]: row["sku_published"] == "yes" or row["usage_capability"]
        for row in catalog.rows("licenses")
    }
    if published.get(key):
        return ""
    return "stands for a licence that has no published code"


def _ours_plans() -> Said:
    allowances = catalog.rows("plan_allowances")
    said = {
        f"{where['country']} {plan['sku']}": _plan(
            plan["domestic_minutes"],
            plan["international_minutes"],
            plan["pooled"],
            where["pool_country"],
        )
        for where in catalog.rows("plan_countries")
        for plan in allowances
        if plan["zone"] == where["zone"]
    }
    everywhere = (plan for plan in allowances if plan["zone"] == catalog.EVERYWHERE)
    return said | {
        f"{plan['zone']} {plan['sku']}": f"{plan['domestic_minutes']} minutes"
        for plan in everywhere
    }


def _their_plans(rows: list[Row]) -> Said:
    return {
        f"{row['country_iso2']} {row['license_sku']}": _plan(
            row["domestic_minutes_per_license"],
            row["international_minutes_per_license"],
            row["pooled"],
            row["pool_country"],
            row["cap_rule"],
        )
        for row in rows
    }


def _plan(
    domestic: str, international: str, pooled: str, pool_country: str, cap: str | None = None
) -> str:
    if cap is None:
        both = "either_exhausts_both" if international != "0" else "independent"
        cap = both if pooled == "yes" else "none"
    minutes = f"{domestic} domestic and {international} international minutes"
    return f"{minutes}; pooled: {pooled}, in {pool_country}; cap: {cap}"


def _plan_beyond(key: str) -> str:
    if key.startswith(catalog.EVERYWHERE):
        return "its minutes hold in every country, and the other list is kept by country"
    return ""


def _ours_conferencing() -> Said:
    return {
        _allowance_key(row["sku"], row): "; ".join(
            (
                _minutes(row["minutes_per_license"]),
                row["shared_by"].lower(),
                _DIAL_OUT[row["zone"]],
                _COUNTED[row["counted"]],
            )
        )
        for row in catalog.rows("conferencing_allowances")
    }


def _their_conferencing(rows: list[Row]) -> Said:
    return {
        _allowance_key(row["license_sku"] or row["usage_capability"] or _ADD_ON, row): "; ".join(
            (
                _minutes(row["minutes_per_license_per_month"]),
                row["scope"],
                row["destinations"],
                row["pool_size_basis"],
            )
        )
        for row in rows
    }


def _allowance_key(sku: str, row: Row) -> str:
    dates = f"{row['valid_from']} to {row['valid_to']}".strip()
    return f"{sku} {dates}" if dates != "to" else sku


def _minutes(text: str) -> str:
    return f"{text} minutes" if text else "unlimited"


def _ours_premium() -> Said:
    return {
        _premium_key(row["country"], row["prefix"], row["number_class"].lower()): _premium(
            row["allowed"], "communications_credits" if row["allowed"] == "yes" else ""
        )
        for row in catalog.rows("premium_rules")
    }


def _their_premium(rows: list[Row]) -> Said:
    return {
        _premium_key(row["country_iso2"], row["number_prefix"], row["number_class"]): _premium(
            row["outbound_supported"], row["funding"]
        )
        for row in rows
    }


def _premium_key(country: str, prefix: str, kind: str) -> str:
    return f"{country} {prefix or kind}"


def _premium(allowed: str, funding: str) -> str:
    return f"allowed: {allowed}; {funding or 'no funding'}"


def _premium_beyond(key: str) -> str:
    read = {
        _premium_key(row["country"], row["prefix"], row["number_class"].lower())
        for row in catalog.rows("premium_rules")
        if row["basis"] == "READING"
    }
    return "our reading, where the published pages are silent" if key in read else ""


def _emergency_beyond(key: str) -> str:
    """The other list was made by trying every number of two and three digits, and those of four that
    begin with 1: only a number it cannot have is beyond it, any other one is a difference.
    """
    digits = key.split(" ")[1]
    tried = len(digits) <= 3 or (len(digits) == 4 and digits.startswith("1"))
    return "" if tried else "longer than the numbers that the other list was made from"


def _our_zone_a() -> Said:
    return {
        row["country"]: "in Zone A"
        for row in catalog.rows("dial_out_zones")
        if row["zone"] == catalog.Zone.ZONE_A
    }


def _columns(*names: str) -> Callable[[Row], str]:
    return lambda row: "; ".join(row[name].lower() for name in names)


def _said(name: str, key: Callable[[Row], str], value: Callable[[Row], str]) -> Callable[[], Said]:
    return lambda: {key(row): value(row) for row in catalog.rows(name)}


def _read(key: Callable[[Row], str], value: Callable[[Row], str]) -> Callable[[list[Row]], Said]:
    return lambda rows: {key(row): value(row) for row in rows}


_ADD_ON = "CONF_DIALOUT_US_CA"
_POOLING = {"POOLED": "yes", "NOT_POOLED": "no", "BALANCE": "tenant balance", "": ""}
_DIAL_OUT = {"zone-a": "zone_a_non_premium", "us-ca": "us_ca", "": ""}
_COUNTED = {"BOUGHT": "purchased_licenses", "ASSIGNED": "assigned_licenses", "": ""}
_FUNDING = {
    "IF_TOLL_FREE": "only_if_toll_free",
    "IF_TOLL_FREE_OR_PER_MINUTE": "toll_free_or_pay_per_minute",
    "ALWAYS": "yes",
}

SUBJECTS = (
    Subject(
        "license_capabilities.csv",
        ("usage_capability", "license_sku", "pooled"),
        _ours_licenses,
        _their_licenses,
        _license_beyond,
    ),
    Subject(
        "plan_allowances.csv",
        (
            "country_iso2",
            "license_sku",
            "domestic_minutes_per_license",
            "international_minutes_per_license",
            "pooled",
            "pool_country",
            "cap_rule",
        ),
        _ours_plans,
        _their_plans,
        _plan_beyond,
    ),
    Subject(
        "conferencing_zone_a.csv",
        ("country_iso2",),
        _our_zone_a,
        _read(lambda row: row["country_iso2"], lambda _row: "in Zone A"),
    ),
    Subject(
        "conferencing_allowances.csv",
        (
            "license_sku",
            "usage_capability",
            "minutes_per_license_per_month",
            "scope",
            "destinations",
            "pool_size_basis",
            "valid_from",
            "valid_to",
        ),
        _ours_conferencing,
        _their_conferencing,
    ),
    Subject(
        "international_plan_destinations.csv",
        ("country_iso2",),
        _said("international_destinations", lambda row: row["listed_as"], lambda _row: "listed"),
        _read(lambda row: row["country_iso2"], lambda _row: "listed"),
    ),
    Subject(
        "premium_number_rules.csv",
        ("country_iso2", "number_prefix", "number_class", "outbound_supported", "funding"),
        _ours_premium,
        _their_premium,
        _premium_beyond,
    ),
    Subject(
        "dial_out_policies.csv",
        ("policy", "conferencing_dial_out", "user_calls"),
        _said(
            "dial_out_policies", lambda row: row["policy"], _columns("conferencing", "user_calls")
        ),
        _read(lambda row: row["policy"], _columns("conferencing_dial_out", "user_calls")),
    ),
    Subject(
        "emergency_numbers.csv",
        ("country_iso2", "number"),
        _said(
            "emergency_numbers",
            lambda row: f"{row['country']} {row['number']}",
            lambda _row: "emergency",
        ),
        _read(lambda row: f"{row['country_iso2']} {row['number']}", lambda _row: "emergency"),
        _emergency_beyond,
    ),
    Subject(
        "call_types.csv",
        ("call_type", "leg_direction", "actor", "needs_funding_on_start"),
        _said(
            "call_types",
            _columns("call_type"),
            lambda row: f"{_columns('direction', 'actor')(row)}; {_FUNDING[row['funding']]}",
        ),
        _read(_columns("call_type"), _columns("leg_direction", "actor", "needs_funding_on_start")),
    ),
    Subject(
        "country_availability.csv",
        ("country_iso2", "calling_plan", "communications_credits"),
        _said(
            "country_availability", lambda row: row["country"], _columns("calling_plan", "credits")
        ),
        _read(lambda row: row["country_iso2"], _columns("calling_plan", "communications_credits")),
    ),
)
