"""Operations on calls, packed as calls.lua takes them: their keys, and one text that holds everything else.

The places are those that each kind's own script names (authorize.lua, settle.lua and the others); the
kind stands first.
"""

from typing import Any

import msgpack

from talktime_server.ledger import keys
from talktime_server.ledger.operations import Asking, Extension, Unreserved
from talktime_server.ledger.profiles import Tenant
from talktime_server.ledger.store import Ask

KINDS = ("authorize", "extend", "settle", "release", "expire")
NOT_ASKED = "-"  # the archive, for a call that the store does not know

# Without the kinds of text that the store's own packer does not write.
_pack = msgpack.Packer(use_bin_type=False).pack


class Asks:
    """Packs operations. Receipts of calls that ended live `receipt_ttl_s`, those of refusals
    `refusal_ttl_s`.
    """

    def __init__(self, *, receipt_ttl_s: int, refusal_ttl_s: int) -> None:
        self._receipt_ttl_s = receipt_ttl_s
        self._refusal_ttl_s = refusal_ttl_s

    def authorization(self, tenant: Tenant, asking: Asking) -> Ask:
        """Hold what the decision says, or record its refusal."""
        owner, facts = tenant.tenant_id, asking.facts
        places = (
            "authorize",
            asking.call_id,
            owner,
            facts.payer_id,
            tenant.version,
            asking.payer_version,
            facts.pack(),
            asking.refusal or "",
            *asking.sources.texts(),
            *asking.terms,
            asking.asked_seconds,
            tenant.min_grant_seconds,
            tenant.lease_grace_seconds,
            asking.credit_line_micros,
            asking.limits,
            asking.costly,
            facts.conference_id,
            int(facts.conference_budget_micros),
            self._refusal_ttl_s,
            asking.dry,
        )
        return keys.of_call(owner, facts.payer_id, asking.call_id), (_pack(places),)

    def extension(self, tenant: Tenant, wish: Extension) -> Ask:
        """Hold more for an open call."""
        places = (
            "extend",
            wish.call_id,
            tenant.tenant_id,
            tenant.version,
            -1 if wish.epoch is None else wish.epoch,
            wish.refusal or "",
            bool(wish.refusal and tenant.cut_running_calls),
            *wish.sources.texts(),
            wish.limits,
            wish.sequence,
            wish.added_seconds,
            tenant.lease_grace_seconds,
        )
        return keys.of_call(tenant.tenant_id, "", wish.call_id), (_pack(places),)

    def settlement(
        self,
        tenant: Tenant,
        call_id: str,
        duration_seconds: int,
        *,
        unreserved: Unreserved | None = None,
        archived: bytes | None = None,
    ) -> Ask:
        """Charge a call: by these fields when nobody authorized it, and when the archive knows none
        either (`archived` is empty; None: it was not asked).
        """
        owner = tenant.tenant_id
        places = (
            "settle",
            call_id,
            owner,
            tenant.version,
            duration_seconds,
            tenant.floor_micros,
            self._receipt_ttl_s,
            NOT_ASKED if archived is None else archived,
            *_by_fields(unreserved),
        )
        payer_id = unreserved.facts.payer_id if unreserved else ""
        names = (*keys.of_call(owner, payer_id, call_id), keys.unmatched(owner, call_id))
        return names, (_pack(places),)

    def giving_back(self, tenant_id: str, call_id: str) -> Ask:
        """Give a hold back whole."""
        places = ("release", call_id, tenant_id, self._receipt_ttl_s)
        return keys.of_call(tenant_id, "", call_id), (_pack(places),)

    def expiry(self, tenant: Tenant, call_id: str) -> Ask:
        """End a hold whose lease is over."""
        owner = tenant.tenant_id
        places = ("expire", call_id, owner, bool(tenant.charge_orphans), self._receipt_ttl_s)
        return keys.of_call(owner, "", call_id), (_pack(places),)


def _by_fields(unreserved: Unreserved | None) -> tuple[Any, ...]:
    if unreserved is None:
        return ()
    facts = unreserved.facts
    return (
        facts.pack(),
        facts.payer_id,
        unreserved.payer_version,
        unreserved.sources.kinds(),
        unreserved.sources.plan(),
        facts.conference_id,
        int(facts.conference_budget_micros),
        *unreserved.terms,
    )
