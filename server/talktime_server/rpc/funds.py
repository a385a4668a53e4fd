"""AccountService's methods about money: what comes in, what goes back, and what there is."""

import asyncio
import contextlib

from google.protobuf.message import Message

from talktime.v1 import account_service_pb2 as pb
from talktime_server.archive.advice import Adviser
from talktime_server.decision.pools import pools_for, pools_of
from talktime_server.failure import ArchiveAway
from talktime_server.ledger.directory import Directory
from talktime_server.ledger.ledger import Ledger
from talktime_server.ledger.operations import Balance
from talktime_server.ledger.recharges import Recharges
from talktime_server.payments.card import looks_like_card
from talktime_server.rpc import messages
from talktime_server.rpc.account_messages import balance_response
from talktime_server.rpc.account_methods import OPERATORS, READERS, account_method
from talktime_server.rpc.decoding import Checks
from talktime_server.rpc.messages import instant
from talktime_server.rpc.recharge_messages import recharge_message
from talktime_server.rpc.shapes import Identity, Method

MAX_AMOUNT = 10**12
MAX_EXPIRE_DAYS = 3650
DEFAULT_EXPIRE_DAYS = 365
MAX_REASON = 256
MAX_PURCHASE_ORDER = 64
ADVICE_LIMIT_S = 0.3  # a balance does not wait for the archive


class Funds:
    """The handlers. `min_funding_micros` is the smallest funding (domain.md 5), 0 for any."""

    def __init__(
        self,
        *,
        directory: Directory,
        ledger: Ledger,
        recharges: Recharges,
        adviser: Adviser,
        min_funding_micros: int,
    ) -> None:
        self._directory = directory
        self._ledger = ledger
        self._recharges = recharges
        self._adviser = adviser
        self._min_funding = max(1, min_funding_micros)

    def methods(self) -> list[Method]:
        """The rows for the edge's table."""
        return [
            account_method("AddFunds", pb.AddFundsRequest, OPERATORS, self._add),
            account_method("AdjustFunds", pb.AdjustFundsRequest, OPERATORS, self._adjust),
            account_method("RefundFunds", pb.RefundFundsRequest, OPERATORS, self._refund),
            account_method("GetBalance", pb.GetBalanceRequest, READERS, self._get_balance),
        ]

    async def _add(self, request: pb.AddFundsRequest, identity: Identity) -> Message:
        checks = Checks()
        tenant_id = checks.tenant("tenant_id", request.tenant_id, identity)
        _check_id(checks, "funding_id", request.funding_id)
        checks.micros("amount_micros", request.amount_micros, self._min_funding, MAX_AMOUNT)
        checks.count("expire_days", request.expire_days, 0, MAX_EXPIRE_DAYS)
        _check_text(checks, "purchase_order", request.purchase_order, MAX_PURCHASE_ORDER)
        checks.done()
        tenant = await self._directory.fresh_tenant(tenant_id)
        funding = await self._ledger.funds.add(
            tenant_id,
            request.funding_id,
            request.amount_micros,
            request.expire_days or DEFAULT_EXPIRE_DAYS,
            request.purchase_order,
        )
        return pb.AddFundsResponse(
            balance=messages.balance(funding.money, tenant),
            expire_time=instant(funding.expires_ms),
            replayed=funding.replayed,
        )

    async def _adjust(self, request: pb.AdjustFundsRequest, identity: Identity) -> Message:
        checks = Checks()
        tenant_id = checks.tenant("tenant_id", request.tenant_id, identity)
        _check_id(checks, "adjustment_id", request.adjustment_id)
        checks.micros("amount_micros", request.amount_micros, -MAX_AMOUNT, MAX_AMOUNT)
        if request.amount_micros == 0:
            checks.blame("amount_micros", "OUT_OF_RANGE", "corrects nothing")
        _check_text(checks, "reason", request.reason, MAX_REASON, required=True)
        checks.count("expire_days", request.expire_days, 0, MAX_EXPIRE_DAYS)
        checks.done()
        tenant = await self._directory.fresh_tenant(tenant_id)
        adjusted = await self._ledger.funds.adjust(
            tenant_id,
            request.adjustment_id,
            request.amount_micros,
            request.reason,
            request.expire_days or DEFAULT_EXPIRE_DAYS,
        )
        return pb.AdjustFundsResponse(
            balance=messages.balance(adjusted.money, tenant), replayed=adjusted.replayed
        )

    async def _refund(self, request: pb.RefundFundsRequest, identity: Identity) -> Message:
        checks = Checks()
        tenant_id = checks.tenant("tenant_id", request.tenant_id, identity)
        _check_id(checks, "refund_id", request.refund_id)
        checks.call_id("funding_id", request.funding_id)
        checks.micros("amount_micros", request.amount_micros, 1, MAX_AMOUNT)
        _check_text(checks, "reason", request.reason, MAX_REASON, required=True)
        checks.done()
        tenant = await self._directory.fresh_tenant(tenant_id)
        taken = await self._ledger.funds.refund(
            tenant_id,
            request.refund_id,
            request.funding_id,
            request.amount_micros,
            request.reason,
            chargeback=request.chargeback,
        )
        return pb.RefundFundsResponse(
            balance=messages.balance(taken.money, tenant),
            funding_refunded_micros=taken.funding_refunded_micros,
            replayed=taken.replayed,
        )

    async def _get_balance(self, request: pb.GetBalanceRequest, identity: Identity) -> Message:
        checks = Checks()
        tenant_id = checks.tenant("tenant_id", request.tenant_id, identity)
        checks.id("payer_id", request.payer_id, required=False)
        checks.done()
        payer = None
        if request.payer_id:
            payer = await self._directory.payer(tenant_id, request.payer_id)
        tenant = await self._directory.fresh_tenant(tenant_id)
        balance = await self._ledger.balance(tenant)
        meters = await self._ledger.meters(tenant_id, pools_for(tenant, payer))
        answer = balance_response(balance, tenant, pools_of(tenant, meters.counts, meters.uses))
        recharge = recharge_message(await self._recharges.view(tenant_id))
        if recharge:
            answer.recharge.CopyFrom(recharge)
        days_left = await self._days_left(tenant_id, balance)
        if days_left is not None:
            answer.days_left = days_left
        return answer

    async def _days_left(self, tenant_id: str, balance: Balance) -> int | None:
        """None without use, and when the archive does not say it at once."""
        with contextlib.suppress(ArchiveAway, TimeoutError):
            async with asyncio.timeout(ADVICE_LIMIT_S):
                available = balance.money.available_micros
                return await self._adviser.days_left(tenant_id, available)
        return None


def _check_id(checks: Checks, field: str, value: str) -> None:
    """An id that is kept for years. One that merely has many digits in it is somebody's own numbering."""
    checks.call_id(field, value)
    if value.isdigit():
        _refuse_card(checks, field, value)


def _check_text(
    checks: Checks, field: str, value: str, most: int, *, required: bool = False
) -> None:
    """Text for people that is kept for years."""
    checks.text(field, value, most, required=required)
    _refuse_card(checks, field, value)


def _refuse_card(checks: Checks, field: str, value: str) -> None:
    """No card number is ever kept, wherever somebody writes one (reliability.md B82)."""
    if looks_like_card(value):
        checks.blame(field, "CARD_DATA_REFUSED", "looks like a card number, which is never kept")
