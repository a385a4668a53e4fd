"""From what is kept of tenants and payers, and of their money and minutes, to what AccountService answers."""

from collections.abc import Iterable

from talktime.v1 import account_service_pb2 as pb
from talktime_server.decision.pools import PoolState
from talktime_server.ledger import journal
from talktime_server.ledger.blocks import Block
from talktime_server.ledger.entries import Entry, PoolMovement
from talktime_server.ledger.operations import Balance, Lot
from talktime_server.ledger.profiles import Payer, Tenant
from talktime_server.rpc import messages
from talktime_server.rpc.messages import instant
from talktime_server.words import EntryKind

_KINDS = {kind: pb.EntryKind.Value(f"ENTRY_KIND_{kind.value}") for kind in EntryKind}
# Fields that are spelled and mean the same here and in the contract.
TENANT_FIELDS = (
    "tenant_id",
    "display_name",
    "country",
    "default_grant_seconds",
    "min_grant_seconds",
    "lease_grace_seconds",
    "floor_micros",
    "inbound_grace_micros",
    "max_rate_per_minute_micros",
    "default_rate_per_minute_micros",
    "max_open_calls",
    "max_open_calls_per_payer",
    "max_payer_hold_percent",
    "dial_out_policy",
    "independent_plan_pools",
    "plans_after_conferencing",
    "blocked_prefixes",
    "allowed_prefixes",
    "max_calls_per_second",
    "max_calls_per_second_per_payer",
    "max_spend_per_day_micros",
    "max_spend_per_month_micros",
    "max_spend_per_day_per_payer_micros",
    "max_spend_per_month_per_payer_micros",
    "costly_rate_per_minute_micros",
    "max_costly_calls_per_day",
    "max_costly_calls_per_day_per_payer",
    "max_unassigned_calls_per_minute",
)
PAYER_FIELDS = (
    "payer_id",
    "display_name",
    "country",
    "licenses",
    "blocked",
    "block_reason",
    "max_rate_per_minute_micros",
    "phone_number",
    "dial_out_policy",
    "toll_free_dial_in_off",
    "blocked_prefixes",
    "allowed_prefixes",
    "max_open_calls",
    "max_calls_per_second",
    "max_spend_per_day_micros",
    "max_spend_per_month_micros",
    "max_costly_calls_per_day",
    "user_principal_name",
)


def tenant_message(tenant: Tenant) -> pb.Tenant:
    """A tenant as stored, defaults filled in."""
    return pb.Tenant(
        **{field: getattr(tenant, field) for field in TENANT_FIELDS},
        currency_code=tenant.currency,
        orphan_charge=pb.ORPHAN_CHARGE_PROVEN if tenant.charge_orphans else pb.ORPHAN_CHARGE_NONE,
        status=pb.TENANT_STATUS_SUSPENDED if tenant.suspended else pb.TENANT_STATUS_ACTIVE,
        running_calls=pb.RUNNING_CALLS_CUT if tenant.cut_running_calls else pb.RUNNING_CALLS_DRAIN,
        profile_version=tenant.version,
        billing_mode=pb.BILLING_MODE_POSTPAID if tenant.postpaid else pb.BILLING_MODE_PREPAID,
        bought_licenses=[
            pb.BoughtLicense(sku=sku, count=count) for sku, count in tenant.bought_licenses
        ],
    )


def payer_message(payer: Payer) -> pb.Payer:
    """A payer as stored."""
    fields = {field: getattr(payer, field) for field in PAYER_FIELDS}
    return pb.Payer(**fields, profile_version=payer.version)


def block_message(block: Block) -> pb.Block:
    """A line of the record of blocks."""
    return pb.Block(
        payer_id=block.payer_id,
        display_name=block.display_name,
        phone_number=block.phone_number,
        reason=block.reason,
        blocked=block.blocked,
        block_time=instant(block.at_ms),
    )


def balance_response(
    balance: Balance, tenant: Tenant, pools: Iterable[PoolState]
) -> pb.GetBalanceResponse:
    """A tenant's money and minutes."""
    return pb.GetBalanceResponse(
        balance=messages.balance(balance.money, tenant),
        loaded_micros=balance.loaded_micros,
        spent_micros=balance.spent_micros,
        expired_micros=balance.expired_micros,
        refunded_micros=balance.refunded_micros,
        uncollected_micros=balance.uncollected_micros,
        open_calls=balance.open_calls,
        abandoned_calls=balance.abandoned_calls,
        expire_time=instant(balance.expires_ms) if balance.expires_ms else None,
        pools=[_pool(pool) for pool in pools],
        postpaid_micros=balance.postpaid_micros,
        postpaid_held_micros=balance.postpaid_held_micros,
        spent_today_micros=balance.spent_today_micros,
        spent_this_month_micros=balance.spent_this_month_micros,
        lots=[_lot(lot) for lot in balance.lots],
    )


def entry_message(entry: Entry) -> pb.Entry:
    """A line of the journal."""
    return pb.Entry(
        version=entry.version,
        kind=_KINDS[entry.kind],
        reference_id=entry.reference,
        settled_delta_micros=entry.settled_delta_micros,
        held_delta_micros=entry.held_delta_micros,
        seconds=entry.seconds,
        entry_time=instant(entry.entered_ms),
        pools=[_movement(moved) for moved in entry.pools],
        postpaid_delta_micros=entry.postpaid_delta_micros,
        postpaid_held_delta_micros=entry.postpaid_held_delta_micros,
        payer_id=entry.payer_id,
        reason=entry.reason,
    )


def proof_response(proof: journal.Proof) -> pb.CheckConservationResponse:
    """The proof that a tenant's money and minutes are conserved."""
    balance = proof.balance
    return pb.CheckConservationResponse(
        conserved=proof.conserved,
        loaded_micros=balance.loaded_micros,
        spent_micros=balance.spent_micros,
        held_micros=balance.money.held_micros,
        available_micros=balance.money.available_micros,
        expired_micros=balance.expired_micros,
        refunded_micros=balance.refunded_micros,
        difference_micros=proof.difference_micros,
        held_difference_micros=proof.held_difference_micros,
        journal_difference_micros=proof.journal_difference_micros,
        open_calls=balance.open_calls,
        entries=proof.entries,
        version_gaps=proof.version_gaps,
        pool_difference_seconds=proof.pool_difference_seconds,
        postpaid_difference_micros=proof.postpaid_difference_micros,
    )


def _lot(lot: Lot) -> pb.Lot:
    return pb.Lot(
        funding_id=lot.funding_id,
        left_micros=lot.left_micros,
        expire_time=instant(lot.expires_ms),
        fund_time=instant(lot.funded_ms),
        amount_micros=lot.amount_micros,
    )


def _pool(pool: PoolState) -> pb.Pool:
    return pb.Pool(
        pool_id=pool.pool_id,
        licenses=pool.licenses,
        size_seconds=pool.size_seconds,
        used_seconds=pool.used_seconds,
        held_seconds=pool.held_seconds,
        available_seconds=pool.available_seconds,
        sku=pool.sku,
        closed=pool.closed,
    )


def _movement(moved: PoolMovement) -> pb.PoolMovement:
    return pb.PoolMovement(
        pool_id=moved.pool_id,
        month=moved.month,
        used_delta_seconds=moved.used_delta_seconds,
        held_delta_seconds=moved.held_delta_seconds,
    )
