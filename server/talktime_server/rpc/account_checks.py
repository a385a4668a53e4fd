"""What a tenant and a payer may look like: every rule of account_service.proto, checked before
anything is written.
"""

import re
from collections.abc import Sequence
from typing import Any

from talktime.v1 import account_service_pb2 as pb
from talktime_server.decision import catalog
from talktime_server.ledger.profiles import Payer, Tenant
from talktime_server.rpc.account_messages import PAYER_FIELDS, TENANT_FIELDS
from talktime_server.rpc.decoding import Checks
from talktime_server.rpc.shapes import Identity

MAX_MICROS = 10**12
MAX_SPEND = 10**15
MAX_RATE = 10**9
MAX_CALLS = 10**6
MAX_VERSION = 2**53
MAX_NAME = 128
MAX_BLOCK_REASON = 256
MAX_LICENSES = 20
MAX_BOUGHT = 10**7
MAX_PREFIXES = 100
# What the record has where a request asks for the default.
TENANT_DEFAULTS = {
    "default_grant_seconds": 600,
    "lease_grace_seconds": 120,
    "max_unassigned_calls_per_minute": 60,
}
_ORPHAN = frozenset({pb.ORPHAN_CHARGE_NONE, pb.ORPHAN_CHARGE_PROVEN})
_BILLING = frozenset({pb.BILLING_MODE_PREPAID, pb.BILLING_MODE_POSTPAID})
_PREFIX = re.compile(r"[1-9][0-9]{0,14}")
_LISTS = ("blocked_prefixes", "allowed_prefixes")
# Field, least and most; 0 is always taken and asks for the default or for no limit.
_TENANT_RANGES = (
    ("default_grant_seconds", 60, 86_400),
    ("min_grant_seconds", 0, 3600),
    ("lease_grace_seconds", 10, 3600),
    ("floor_micros", -MAX_MICROS, 0),
    ("inbound_grace_micros", 0, MAX_MICROS),
    ("max_rate_per_minute_micros", 0, MAX_RATE),
    ("default_rate_per_minute_micros", 0, MAX_RATE),
    ("max_open_calls", 0, MAX_CALLS),
    ("max_open_calls_per_payer", 0, MAX_CALLS),
    ("max_payer_hold_percent", 0, 100),
    ("max_calls_per_second", 0, MAX_CALLS),
    ("max_calls_per_second_per_payer", 0, MAX_CALLS),
    ("max_spend_per_day_micros", 0, MAX_SPEND),
    ("max_spend_per_month_micros", 0, MAX_SPEND),
    ("max_spend_per_day_per_payer_micros", 0, MAX_SPEND),
    ("max_spend_per_month_per_payer_micros", 0, MAX_SPEND),
    ("costly_rate_per_minute_micros", 0, MAX_RATE),
    ("max_costly_calls_per_day", 0, MAX_CALLS),
    ("max_costly_calls_per_day_per_payer", 0, MAX_CALLS),
    ("max_unassigned_calls_per_minute", 1, MAX_CALLS),
)
_PAYER_RANGES = (
    ("max_rate_per_minute_micros", 0, MAX_RATE),
    ("max_open_calls", 0, MAX_CALLS),
    ("max_calls_per_second", 0, MAX_CALLS),
    ("max_spend_per_day_micros", 0, MAX_SPEND),
    ("max_spend_per_month_micros", 0, MAX_SPEND),
    ("max_costly_calls_per_day", 0, MAX_CALLS),
)
_Ranges = tuple[tuple[str, int, int], ...]


def checked_tenant(request: pb.PutTenantRequest, identity: Identity) -> Tenant:
    """The tenant that a request describes, defaults filled in. Raises Invalid, naming every field."""
    checks, asked = Checks(), request.tenant
    checks.present("tenant", request.HasField("tenant"))
    checks.id("tenant.tenant_id", asked.tenant_id)
    checks.currency("tenant.currency_code", asked.currency_code)
    checks.enum("tenant.orphan_charge", asked.orphan_charge, _ORPHAN, required=False)
    checks.enum("tenant.billing_mode", asked.billing_mode, _BILLING, required=False)
    _check_common(checks, "tenant", asked, _TENANT_RANGES)
    _check_bought(checks, "tenant.bought_licenses", asked.bought_licenses)
    checks.done()
    identity.tenant(asked.tenant_id)
    fields = _plain(asked, TENANT_FIELDS)
    defaults = {name: fields[name] or default for name, default in TENANT_DEFAULTS.items()}
    return Tenant(
        **(fields | defaults),
        currency=asked.currency_code,
        postpaid=asked.billing_mode == pb.BILLING_MODE_POSTPAID,
        bought_licenses=tuple((bought.sku, bought.count) for bought in asked.bought_licenses),
        charge_orphans=asked.orphan_charge == pb.ORPHAN_CHARGE_PROVEN,
        version=asked.profile_version,
    )


def checked_payer(request: pb.PutPayerRequest, identity: Identity) -> tuple[str, Payer]:
    """The payer that a request describes, and its tenant. Raises Invalid, naming every field."""
    checks = Checks()
    tenant_id = checks.tenant("tenant_id", request.tenant_id, identity)
    checks.present("payer", request.HasField("payer"))
    payer = check_payer(checks, "payer", request.payer)
    checks.done()
    return tenant_id, payer


def check_payer(checks: Checks, field: str, asked: pb.Payer) -> Payer:
    """The payer that a message describes; it is good once the checks are done. Whether it is blocked
    is not asked here.
    """
    checks.id(f"{field}.payer_id", asked.payer_id)
    checks.number(f"{field}.phone_number", asked.phone_number, required=False)
    checks.text(f"{field}.user_principal_name", asked.user_principal_name, MAX_NAME)
    checked_skus(checks, f"{field}.licenses", asked.licenses)
    _check_common(checks, field, asked, _PAYER_RANGES)
    fields = _plain(asked, PAYER_FIELDS)
    unblocked = {"blocked": False, "block_reason": ""}
    return Payer(**(fields | unblocked), version=asked.profile_version)


def checked_skus(checks: Checks, field: str, skus: Sequence[str]) -> None:
    """Licences that the catalogue knows."""
    checks.items(field, skus, MAX_LICENSES)
    for number, sku in enumerate(skus[:MAX_LICENSES]):
        _check_sku(checks, f"{field}[{number}]", sku)


def _check_common(checks: Checks, field: str, asked: pb.Tenant | pb.Payer, ranges: _Ranges) -> None:
    """What tenants and payers have alike."""
    _check_country(checks, f"{field}.country", asked.country)
    checks.within(f"{field}.profile_version", asked.profile_version, 0, MAX_VERSION)
    checks.text(f"{field}.display_name", asked.display_name, MAX_NAME)
    for name, least, most in ranges:
        if value := getattr(asked, name):
            checks.within(f"{field}.{name}", value, least, most)
    if asked.dial_out_policy and asked.dial_out_policy not in catalog.dial_out_policies():
        checks.blame(f"{field}.dial_out_policy", "UNKNOWN_POLICY", "is not a dial-out policy")
    for name in _LISTS:
        _check_prefixes(checks, f"{field}.{name}", getattr(asked, name))


def _check_country(checks: Checks, field: str, code: str) -> None:
    """A country there is: a slip like "UK" would make every call of a payer international."""
    checks.country(field, code)
    if len(code) == 2 and code.isupper() and code not in catalog.countries():
        checks.blame(field, "UNKNOWN_COUNTRY", "is not a country of ISO 3166-1")


def _check_prefixes(checks: Checks, field: str, prefixes: Sequence[str]) -> None:
    checks.items(field, prefixes, MAX_PREFIXES)
    for number, prefix in enumerate(prefixes[:MAX_PREFIXES]):
        if not _PREFIX.fullmatch(prefix):
            text = "is not 1 to 15 digits, the first not 0"
            checks.blame(f"{field}[{number}]", "BAD_PREFIX", text)


def _check_bought(checks: Checks, field: str, bought: Sequence[pb.BoughtLicense]) -> None:
    checks.items(field, bought, MAX_LICENSES)
    seen: set[str] = set()
    for number, asked in enumerate(bought[:MAX_LICENSES]):
        place = f"{field}[{number}]"
        _check_sku(checks, f"{place}.sku", asked.sku)
        checks.count(f"{place}.count", asked.count, 1, MAX_BOUGHT)
        if asked.sku in seen:
            checks.blame(f"{place}.sku", "DUPLICATE", "is there twice")
        seen.add(asked.sku)


def _check_sku(checks: Checks, field: str, sku: str) -> None:
    if sku not in catalog.licenses():
        checks.blame(field, "UNKNOWN_LICENSE", "is not a licence of the catalogue")


def _plain(asked: pb.Tenant | pb.Payer, names: Sequence[str]) -> dict[str, Any]:
    """The fields of a message that a record has by the same name; of a list, each item once."""
    fields = {name: getattr(asked, name) for name in names}
    return {
        name: value if isinstance(value, (str, int)) else tuple(dict.fromkeys(value))
        for name, value in fields.items()
    }
