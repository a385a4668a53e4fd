"""What a tenant and a payer may look like: every rule of account_service.proto, checked before
anything is written.
"""

from collections.abc import Sequence

from talktime.v1 import account_service_pb2 as pb
from talktime_server.decision import catalog
from talktime_server.ledger.profiles import Payer, Tenant
from talktime_server.rpc.decoding import Checks
from talktime_server.rpc.shapes import Identity

MAX_MICROS = 10**12
MAX_RATE = 10**9
MAX_CALLS = 10**6
MAX_NAME = 128
MAX_BLOCK_REASON = 256
MAX_LICENSES = 20
DEFAULT_GRANT_SECONDS = 600
DEFAULT_GRACE_SECONDS = 120
_ORPHAN = frozenset({pb.ORPHAN_CHARGE_NONE, pb.ORPHAN_CHARGE_PROVEN})
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
)


def checked_tenant(request: pb.PutTenantRequest, identity: Identity) -> Tenant:
    """The tenant that a request describes, defaults filled in. Raises Invalid, naming every field."""
    checks, asked = Checks(), request.tenant
    checks.present("tenant", request.HasField("tenant"))
    checks.id("tenant.tenant_id", asked.tenant_id)
    checks.currency("tenant.currency_code", asked.currency_code)
    _check_country(checks, "tenant.country", asked.country)
    checks.text("tenant.display_name", asked.display_name, MAX_NAME)
    checks.enum("tenant.orphan_charge", asked.orphan_charge, _ORPHAN, required=False)
    for field, least, most in _TENANT_RANGES:
        if value := getattr(asked, field):
            checks.within(f"tenant.{field}", value, least, most)
    checks.done()
    identity.tenant(asked.tenant_id)
    limits = {field: getattr(asked, field) for field, _, _ in _TENANT_RANGES}
    limits["default_grant_seconds"] = asked.default_grant_seconds or DEFAULT_GRANT_SECONDS
    limits["lease_grace_seconds"] = asked.lease_grace_seconds or DEFAULT_GRACE_SECONDS
    return Tenant(
        asked.tenant_id,
        asked.currency_code,
        asked.country,
        asked.display_name,
        charge_orphans=asked.orphan_charge == pb.ORPHAN_CHARGE_PROVEN,
        **limits,
    )


def checked_payer(request: pb.PutPayerRequest, identity: Identity) -> tuple[str, Payer]:
    """The payer that a request describes, and its tenant. Raises Invalid, naming every field."""
    checks, asked = Checks(), request.payer
    tenant_id = checks.tenant("tenant_id", request.tenant_id, identity)
    checks.present("payer", request.HasField("payer"))
    checks.id("payer.payer_id", asked.payer_id)
    _check_country(checks, "payer.country", asked.country)
    checks.text("payer.display_name", asked.display_name, MAX_NAME)
    checks.text("payer.block_reason", asked.block_reason, MAX_BLOCK_REASON)
    ceiling = asked.max_rate_per_minute_micros
    checks.micros("payer.max_rate_per_minute_micros", ceiling, 0, MAX_RATE)
    checked_skus(checks, "payer.licenses", asked.licenses)
    checks.done()
    return tenant_id, Payer(
        asked.payer_id,
        asked.country,
        asked.display_name,
        tuple(dict.fromkeys(asked.licenses)),
        asked.blocked,
        asked.block_reason,
        ceiling,
    )


def _check_country(checks: Checks, field: str, code: str) -> None:
    """A country there is: a slip like "UK" would make every call of a payer international."""
    checks.country(field, code)
    if len(code) == 2 and code.isupper() and code not in catalog.countries():
        checks.blame(field, "UNKNOWN_COUNTRY", "is not a country of ISO 3166-1")


def checked_skus(checks: Checks, field: str, skus: Sequence[str]) -> None:
    """Licences that the catalogue knows."""
    checks.items(field, skus, MAX_LICENSES)
    known = catalog.licenses()
    for number, sku in enumerate(skus[:MAX_LICENSES]):
        if sku not in known:
            checks.blame(
                f"{field}[{number}]", "UNKNOWN_LICENSE", "is not a licence of the catalogue"
            )
