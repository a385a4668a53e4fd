"""AccountService: one handler per RPC, from a checked message to an answer."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from google.protobuf.message import Message

from talktime.v1 import account_service_pb2 as pb
from talktime_server.decision import licensing
from talktime_server.failure import Conflict
from talktime_server.ledger.directory import Directory
from talktime_server.ledger.journal import Journal
from talktime_server.ledger.ledger import Ledger
from talktime_server.ledger.profiles import Payer
from talktime_server.rpc import pages
from talktime_server.rpc.account_checks import (
    MAX_BLOCK_REASON,
    check_payer,
    checked_payer,
    checked_skus,
    checked_tenant,
)
from talktime_server.rpc.account_messages import (
    block_message,
    entry_message,
    payer_message,
    proof_response,
    tenant_message,
)
from talktime_server.rpc.account_methods import OPERATORS, READERS, WRITERS, account_method
from talktime_server.rpc.decoding import Checks
from talktime_server.rpc.shapes import BULK_BODY_BYTES, REPORT_TIMEOUT_S, Identity, Method

MAX_AMOUNT = 10**12
MAX_EXPIRE_DAYS = 3650
DEFAULT_EXPIRE_DAYS = 365
_RUNNING = frozenset({pb.RUNNING_CALLS_DRAIN, pb.RUNNING_CALLS_CUT})
MAX_PAYERS = 1000
# Payers checked at a time: calls that wait for the same process wait no longer than that.
PAYERS_AT_ONCE = 50


class Accounts:
    """The service's handlers."""

    def __init__(
        self,
        *,
        directory: Directory,
        ledger: Ledger,
        journal: Journal,
    ) -> None:
        self._directory = directory
        self._ledger = ledger
        self._journal = journal

    def methods(self) -> list[Method]:
        """The rows for the edge's table."""
        return [
            account_method("PutTenant", pb.PutTenantRequest, OPERATORS, self._put_tenant),
            account_method("GetTenant", pb.GetTenantRequest, READERS, self._get_tenant),
            account_method("ListTenants", pb.ListTenantsRequest, READERS, self._list_tenants),
            account_method("SuspendTenant", pb.SuspendTenantRequest, OPERATORS, self._suspend),
            account_method("ResumeTenant", pb.ResumeTenantRequest, OPERATORS, self._resume),
            account_method("PutPayer", pb.PutPayerRequest, WRITERS, self._put_payer),
            account_method("GetPayer", pb.GetPayerRequest, READERS, self._get_payer),
            account_method("ListPayers", pb.ListPayersRequest, READERS, self._list_payers),
            replace(
                account_method("PutPayers", pb.PutPayersRequest, WRITERS, self._put_payers),
                body_cap=BULK_BODY_BYTES,
            ),
            account_method("BlockPayer", pb.BlockPayerRequest, WRITERS, self._block_payer),
            account_method("UnblockPayer", pb.UnblockPayerRequest, WRITERS, self._unblock_payer),
            account_method("ListBlocks", pb.ListBlocksRequest, READERS, self._list_blocks),
            account_method(
                "AssignLicenses", pb.AssignLicensesRequest, WRITERS, self._assign_licenses
            ),
            account_method("ListEntries", pb.ListEntriesRequest, READERS, self._list_entries),
            account_method(
                "CheckConservation",
                pb.CheckConservationRequest,
                READERS,
                self._conservation,
                timeout_s=REPORT_TIMEOUT_S,
            ),
        ]

    async def _put_tenant(self, request: pb.PutTenantRequest, identity: Identity) -> Message:
        tenant = checked_tenant(request, identity)
        return pb.PutTenantResponse(tenant=tenant_message(await self._directory.put_tenant(tenant)))

    async def _get_tenant(self, request: pb.GetTenantRequest, identity: Identity) -> Message:
        tenant = await self._directory.fresh_tenant(_tenant_id(request, identity))
        return pb.GetTenantResponse(tenant=tenant_message(tenant))

    async def _list_tenants(self, request: pb.ListTenantsRequest, identity: Identity) -> Message:
        checks = Checks()
        count = checks.page_size("page_size", request.page_size)
        checks.done()
        key = await self._directory.page_key()
        after = _position(key, identity.name, "ListTenants", request.page_token)
        if identity.all_tenants:
            found = await self._directory.list_tenants(after, count)
        else:
            found = await self._directory.named_tenants(identity.tenants, after, count)
        full = len(found) == count
        token = found[-1].tenant_id if full else ""
        return pb.ListTenantsResponse(
            tenants=[tenant_message(tenant) for tenant in found],
            next_page_token=_page(key, identity.name, "ListTenants", token),
        )

    async def _suspend(self, request: pb.SuspendTenantRequest, identity: Identity) -> Message:
        checks = Checks()
        tenant_id = checks.tenant("tenant_id", request.tenant_id, identity)
        checks.enum("running_calls", request.running_calls, _RUNNING, required=False)
        checks.done()
        cut = request.running_calls == pb.RUNNING_CALLS_CUT
        tenant = await self._directory.suspend(tenant_id, cut_running_calls=cut)
        return pb.SuspendTenantResponse(tenant=tenant_message(tenant))

    async def _resume(self, request: pb.ResumeTenantRequest, identity: Identity) -> Message:
        tenant = await self._directory.resume(_tenant_id(request, identity))
        return pb.ResumeTenantResponse(tenant=tenant_message(tenant))

    async def _put_payer(self, request: pb.PutPayerRequest, identity: Identity) -> Message:
        tenant_id, payer = checked_payer(request, identity)

        def check(old: Payer | None, new: Payer) -> None:
            checks = Checks()
            _check_given(checks, "payer", old, new)
            checks.done()

        written = await self._directory.put_payer(tenant_id, payer, check)
        return pb.PutPayerResponse(payer=payer_message(written))

    async def _put_payers(self, request: pb.PutPayersRequest, identity: Identity) -> Message:
        checks = Checks()
        tenant_id = checks.tenant("tenant_id", request.tenant_id, identity)
        checks.items("payers", request.payers, MAX_PAYERS, least=1)
        checks.done()
        payers = await _checked_payers(request.payers)

        def check(stored: Sequence[Payer | None]) -> None:
            checks = Checks()
            for number, (old, new) in enumerate(zip(stored, payers, strict=True)):
                _check_given(checks, f"payers[{number}]", old, new)
            checks.done()

        came = await self._directory.put_payers(tenant_id, payers, check)
        return pb.PutPayersResponse(
            created=came.created, changed=came.changed, unchanged=came.unchanged
        )

    async def _block_payer(self, request: pb.BlockPayerRequest, identity: Identity) -> Message:
        tenant_id = _block_of(request, identity, required=True)
        payer = await self._directory.block_payer(tenant_id, request.payer_id, request.reason)
        return pb.BlockPayerResponse(payer=payer_message(payer))

    async def _unblock_payer(self, request: pb.UnblockPayerRequest, identity: Identity) -> Message:
        tenant_id = _block_of(request, identity, required=False)
        payer = await self._directory.unblock_payer(tenant_id, request.payer_id, request.reason)
        return pb.UnblockPayerResponse(payer=payer_message(payer))

    async def _list_blocks(self, request: pb.ListBlocksRequest, identity: Identity) -> Message:
        checks = Checks()
        tenant_id = checks.tenant("tenant_id", request.tenant_id, identity)
        count = checks.page_size("page_size", request.page_size)
        checks.done()
        key = await self._directory.page_key()
        after = _position(key, tenant_id, "ListBlocks", request.page_token)
        found = await self._directory.list_blocks(tenant_id, after, count)
        token = found[-1].position if len(found) == count else ""
        return pb.ListBlocksResponse(
            blocks=[block_message(block) for block in found],
            next_page_token=_page(key, tenant_id, "ListBlocks", token),
        )

    async def _get_payer(self, request: pb.GetPayerRequest, identity: Identity) -> Message:
        tenant_id = _payer_of(request, identity)
        payer = await self._directory.payer(tenant_id, request.payer_id)
        return pb.GetPayerResponse(payer=payer_message(payer))

    async def _list_payers(self, request: pb.ListPayersRequest, identity: Identity) -> Message:
        checks = Checks()
        tenant_id = checks.tenant("tenant_id", request.tenant_id, identity)
        count = checks.page_size("page_size", request.page_size)
        checks.done()
        key = await self._directory.page_key()
        after = _position(key, tenant_id, "ListPayers", request.page_token)
        found = await self._directory.list_payers(tenant_id, after, count)
        token = found[-1].payer_id if len(found) == count else ""
        return pb.ListPayersResponse(
            payers=[payer_message(payer) for payer in found],
            next_page_token=_page(key, tenant_id, "ListPayers", token),
        )

    async def _assign_licenses(
        self, request: pb.AssignLicensesRequest, identity: Identity
    ) -> Message:
        checks = Checks()
        tenant_id = checks.tenant("tenant_id", request.tenant_id, identity)
        checks.id("payer_id", request.payer_id)
        checked_skus(checks, "add_licenses", request.add_licenses)
        checked_skus(checks, "remove_licenses", request.remove_licenses)
        checks.done()
        payer = await self._directory.assign_licenses(
            tenant_id,
            request.payer_id,
            add=tuple(dict.fromkeys(request.add_licenses)),
            remove=tuple(request.remove_licenses),
            check=licensing.give,
        )
        return pb.AssignLicensesResponse(payer=payer_message(payer))

    async def _list_entries(self, request: pb.ListEntriesRequest, identity: Identity) -> Message:
        checks = Checks()
        tenant_id = checks.tenant("tenant_id", request.tenant_id, identity)
        count = checks.page_size("page_size", request.page_size)
        checks.id("reference_id", request.reference_id, required=False)
        checks.done()
        await self._directory.fresh_tenant(tenant_id)
        key = await self._directory.page_key()
        after = _position(key, tenant_id, "ListEntries", request.page_token)
        found, position = await self._journal.page(tenant_id, after, count, request.reference_id)
        entries = [entry_message(entry) for entry in found]
        token = _page(key, tenant_id, "ListEntries", position)
        return pb.ListEntriesResponse(entries=entries, next_page_token=token)

    async def _conservation(
        self, request: pb.CheckConservationRequest, identity: Identity
    ) -> Message:
        tenant = await self._directory.fresh_tenant(_tenant_id(request, identity))
        return proof_response(await self._journal.prove(tenant))


def _tenant_id(request: Any, identity: Identity) -> str:
    """The tenant of a request that names nothing else."""
    checks = Checks()
    tenant_id = checks.tenant("tenant_id", request.tenant_id, identity)
    checks.done()
    return tenant_id


def _payer_of(request: pb.GetPayerRequest, identity: Identity) -> str:
    checks = Checks()
    tenant_id = checks.tenant("tenant_id", request.tenant_id, identity)
    checks.id("payer_id", request.payer_id)
    checks.done()
    return tenant_id


def _block_of(
    request: pb.BlockPayerRequest | pb.UnblockPayerRequest, identity: Identity, *, required: bool
) -> str:
    """The tenant of a request to block or unblock; `required`: it must give a reason."""
    checks = Checks()
    tenant_id = checks.tenant("tenant_id", request.tenant_id, identity)
    checks.id("payer_id", request.payer_id)
    checks.text("reason", request.reason, MAX_BLOCK_REASON, required=required)
    checks.done()
    return tenant_id


async def _checked_payers(asked: Sequence[pb.Payer]) -> list[Payer]:
    """The payers that a request describes. Raises Invalid, naming every field of every one."""
    checks, payers, ids = Checks(), list[Payer](), set[str]()
    for number, payer in enumerate(asked):
        payers.append(check_payer(checks, f"payers[{number}]", payer))
        if payer.payer_id in ids:
            checks.blame(f"payers[{number}].payer_id", "DUPLICATE", "is there twice")
        ids.add(payer.payer_id)
        if number % PAYERS_AT_ONCE == 0:
            await asyncio.sleep(0)
    checks.done()
    return payers


def _check_given(checks: Checks, field: str, old: Payer | None, new: Payer) -> None:
    """Blames a payer who is newly given the credits licence alone: here the request is what is
    wrong, as it says all that the payer will have.
    """
    try:
        licensing.give(old, new)
    except Conflict as conflict:
        text = "has the credits licence and neither a calling plan nor conferencing beside it"
        checks.blame(f"{field}.licenses", conflict.reason, text)


def _position(key: bytes, whose: str, method: str, token: str) -> str:
    return pages.read(key, whose, method, token) if token else ""


def _page(key: bytes, whose: str, method: str, position: str) -> str:
    return pages.make(key, whose, method, position) if position else ""
