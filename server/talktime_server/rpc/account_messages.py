"""From what is kept of tenants and payers to what AccountService answers."""

from talktime.v1 import account_service_pb2 as pb
from talktime_server.ledger.profiles import Payer, Tenant


def tenant_message(tenant: Tenant) -> pb.Tenant:
    """A tenant as stored, defaults filled in."""
    return pb.Tenant(
        tenant_id=tenant.tenant_id,
        display_name=tenant.display_name,
        currency_code=tenant.currency,
        country=tenant.country,
        default_grant_seconds=tenant.default_grant_seconds,
        min_grant_seconds=tenant.min_grant_seconds,
        lease_grace_seconds=tenant.lease_grace_seconds,
        floor_micros=tenant.floor_micros,
        inbound_grace_micros=tenant.inbound_grace_micros,
        max_rate_per_minute_micros=tenant.max_rate_per_minute_micros,
        default_rate_per_minute_micros=tenant.default_rate_per_minute_micros,
        max_open_calls=tenant.max_open_calls,
        max_open_calls_per_payer=tenant.max_open_calls_per_payer,
        max_payer_hold_percent=tenant.max_payer_hold_percent,
        orphan_charge=pb.ORPHAN_CHARGE_PROVEN if tenant.charge_orphans else pb.ORPHAN_CHARGE_NONE,
        status=pb.TENANT_STATUS_SUSPENDED if tenant.suspended else pb.TENANT_STATUS_ACTIVE,
        running_calls=pb.RUNNING_CALLS_CUT if tenant.cut_running_calls else pb.RUNNING_CALLS_DRAIN,
        profile_version=tenant.version,
    )


def payer_message(payer: Payer) -> pb.Payer:
    """A payer as stored."""
    return pb.Payer(
        payer_id=payer.payer_id,
        display_name=payer.display_name,
        country=payer.country,
        licenses=payer.licenses,
        blocked=payer.blocked,
        block_reason=payer.block_reason,
        max_rate_per_minute_micros=payer.max_rate_per_minute_micros,
        profile_version=payer.version,
    )
