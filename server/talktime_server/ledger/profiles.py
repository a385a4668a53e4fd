"""Tenants and payers as the decision sees them: plain records, written whole, each with its version."""

import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

MICROS = 1_000_000


class _Record:
    """Turns a frozen record into the text that is stored, and back."""

    __slots__ = ()

    def to_json(self) -> str:
        """The text that is stored; the version is the store's and stays out of it."""
        body = asdict(self)  # type: ignore[call-overload]  # every subclass is a dataclass
        body.pop("version")
        return json.dumps(body, separators=(",", ":"), sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes, version: int) -> Self:
        """Reads stored text. Fields it does not name keep their default, so old records stay readable."""
        known = {field.name for field in fields(cls)}  # type: ignore[arg-type]  # as above
        body: dict[str, Any] = {k: v for k, v in json.loads(text).items() if k in known}
        if "licenses" in body:
            body["licenses"] = tuple(body["licenses"])
        return cls(**body, version=version)


@dataclass(frozen=True, slots=True)
class Tenant(_Record):
    """A customer organisation and its settings; 0 is "no limit" where a limit may be absent."""

    tenant_id: str
    currency: str
    country: str
    display_name: str = ""
    default_grant_seconds: int = 600
    min_grant_seconds: int = 0
    lease_grace_seconds: int = 120
    floor_micros: int = 0
    inbound_grace_micros: int = 0
    max_rate_per_minute_micros: int = 0
    default_rate_per_minute_micros: int = 0
    max_open_calls: int = 0
    max_open_calls_per_payer: int = 0
    max_payer_hold_percent: int = 0
    charge_orphans: bool = False
    suspended: bool = False
    cut_running_calls: bool = False
    version: int = 0


@dataclass(frozen=True, slots=True)
class Payer(_Record):
    """Whose licences and policy count: a user, an organizer, or a resource account."""

    payer_id: str
    country: str
    display_name: str = ""
    licenses: tuple[str, ...] = ()
    blocked: bool = False
    block_reason: str = ""
    max_rate_per_minute_micros: int = 0
    version: int = 0
