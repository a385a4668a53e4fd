"""Tenants and payers: stored records, cached in the process with their version.

A cached record may be old. That is harmless: each decision carries the versions it was made by, and
the script that holds the money compares them (Stale), so a licence taken away a millisecond ago is
seen without a second trip (semantics 67, 87).
"""

import contextlib
import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import NamedTuple, Self

from talktime_server.failure import Conflict, NotFound
from talktime_server.ledger import keys
from talktime_server.ledger.blocks import Block, block_of
from talktime_server.ledger.payers import (
    WRITE_ROUNDS,
    Check,
    CheckAll,
    PayerChanges,
    PayerWriter,
    allow,
    allow_all,
    contended,
    keep_block,
    read,
)
from talktime_server.ledger.profiles import (
    Payer,
    Tenant,
    impersonal,
    limits_of,
    payer_of,
    tenant_of,
    to_json,
    unknown_tenant,
)
from talktime_server.ledger.recent import Recent
from talktime_server.ledger.store import Script, Store

MOST_CACHED = 100_000
# Payers of a tenant who differ in more than who they are: by country, licences, limits, version.
MOST_KINDS = 1_000


class Profiles(NamedTuple):
    """A tenant and, when there is one by that id, its payer; and the limits that the two have together.

    The payer is impersonal (profiles.py): all payers of a tenant who are alike have the same profiles,
    so that many can be cached.
    """

    tenant: Tenant
    payer: Payer | None
    limits: str = ""

    @classmethod
    def of(cls, tenant: Tenant, payer: Payer | None) -> Self:
        """The limits are made once: each call is held against them."""
        return cls(tenant, payer, limits_of(tenant, payer))

    @property
    def payer_version(self) -> int:
        """0 where there is no such payer."""
        return self.payer.version if self.payer else 0

    def named(self, payer_id: str) -> Self:
        """The same with a payer who has an id, for telling people about it."""
        return self._replace(payer=self.payer and replace(self.payer, payer_id=payer_id))


class _Known:
    """A tenant that is cached, and the profiles that it has with each kind of payer."""

    __slots__ = ("_by_kind", "tenant")

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self._by_kind: dict[Payer | None, Profiles] = {}

    def profiles(self, payer: Payer | None) -> Profiles:
        """Those for a payer, the same for all who are alike."""
        kind = impersonal(payer) if payer else None
        found = self._by_kind.get(kind)
        if found is None:
            if len(self._by_kind) >= MOST_KINDS:
                self._by_kind.clear()
            found = self._by_kind[kind] = Profiles.of(self.tenant, kind)
        return found


class Directory:
    """Reads and writes tenants and payers. `counted` names the counts of licences that a payer adds
    to; they size the tenant's pools.
    """

    def __init__(self, store: Store, counted: Callable[[Payer], tuple[str, ...]]) -> None:
        self._store = store
        self._put = Script(store, "put_profile")
        self._writer = PayerWriter(store, self._put, counted)
        self._tenants: Recent[str, _Known] = Recent(MOST_CACHED)
        self._payers: Recent[str, Profiles] = Recent(MOST_CACHED)

    def cached(self, tenant_id: str, payer_id: str) -> Profiles | None:
        """What is at hand without asking the store; may be old."""
        known = self._tenants.get(tenant_id)
        found = self._payers.get(_name(tenant_id, payer_id))
        if known is None or found is None:
            return None
        if found.tenant is not known.tenant:
            found = known.profiles(found.payer)
            self._payers.put(_name(tenant_id, payer_id), found)
        return found

    def cached_tenant(self, tenant_id: str) -> Tenant | None:
        """The same of a tenant alone."""
        known = self._tenants.get(tenant_id)
        return known.tenant if known else None

    async def profiles(self, tenant_id: str, payer_id: str) -> Profiles:
        """The profiles at hand, else those in the store. Raises NotFound for an unknown tenant."""
        return self.cached(tenant_id, payer_id) or await self.fresh(tenant_id, payer_id)

    async def fresh(self, tenant_id: str, payer_id: str) -> Profiles:
        """The profiles in the store. Raises NotFound for an unknown tenant."""
        return self._keep(tenant_id, payer_id, *await self._read(tenant_id, payer_id))

    async def tenant(self, tenant_id: str) -> Tenant:
        """The tenant at hand, else in the store. Raises NotFound."""
        return self.cached_tenant(tenant_id) or await self.fresh_tenant(tenant_id)

    async def fresh_tenant(self, tenant_id: str) -> Tenant:
        """The tenant in the store. Raises NotFound."""
        row = await self._store.command("HMGET", keys.tenant(tenant_id), "pv", "p")
        if row[0] is None:
            raise unknown_tenant()
        return self._keep_tenant(read(tenant_of, row)).tenant

    async def _read(self, tenant_id: str, payer_id: str) -> tuple[Tenant, Payer | None]:
        """Both as they are stored. Raises NotFound for an unknown tenant."""
        tenant_row, payer_row = await self._store.commands(
            [
                ("HMGET", keys.tenant(tenant_id), "pv", "p"),
                ("HMGET", keys.payer(tenant_id, payer_id), "pv", "p"),
            ]
        )
        if tenant_row[0] is None:
            raise unknown_tenant()
        payer = read(payer_of, payer_row) if payer_row[0] else None
        return read(tenant_of, tenant_row), payer

    def _keep(self, tenant_id: str, payer_id: str, tenant: Tenant, payer: Payer | None) -> Profiles:
        profiles = self._keep_tenant(tenant).profiles(payer)
        self._payers.put(_name(tenant_id, payer_id), profiles)
        return profiles

    def _keep_tenant(self, tenant: Tenant) -> _Known:
        """A tenant that is as it was keeps the profiles that were made with it."""
        known = self._tenants.get(tenant.tenant_id)
        if known is None or known.tenant != tenant:
            known = _Known(tenant)
            self._tenants.put(tenant.tenant_id, known)
        return known

    async def payer(self, tenant_id: str, payer_id: str) -> Payer:
        """The payer in the store. Raises NotFound."""
        tenant, payer = await self._read(tenant_id, payer_id)
        self._keep(tenant_id, payer_id, tenant, payer)
        return _must_payer(payer)

    async def put_tenant(self, tenant: Tenant) -> Tenant:
        """Makes a tenant or replaces its settings; a suspension stays. With a version it replaces that
        one alone. Raises Conflict CURRENCY_FIXED or VERSION_CHANGED.
        """

        def keep_suspension(old: Tenant | None) -> Tenant:
            suspended, cut = (old.suspended, old.cut_running_calls) if old else (False, False)
            new = replace(tenant, suspended=suspended, cut_running_calls=cut)
            refuse_old(old, new)
            return new

        return await self._write_tenant(tenant.tenant_id, keep_suspension)

    async def suspend(self, tenant_id: str, *, cut_running_calls: bool) -> Tenant:
        """Refuses the tenant's new calls from now on. Raises NotFound."""
        return await self._write_tenant(
            tenant_id,
            lambda old: replace(_must(old), suspended=True, cut_running_calls=cut_running_calls),
        )

    async def resume(self, tenant_id: str) -> Tenant:
        """Ends a suspension. Raises NotFound."""
        return await self._write_tenant(
            tenant_id,
            lambda old: replace(_must(old), suspended=False, cut_running_calls=False),
        )

    async def _write_tenant(
        self, tenant_id: str, change: Callable[[Tenant | None], Tenant]
    ) -> Tenant:
        for _ in range(WRITE_ROUNDS):
            try:
                old = await self.fresh_tenant(tenant_id)
            except NotFound:
                old = None
            new = change(old)
            names = (
                keys.tenant(tenant_id),
                keys.tenant(tenant_id),
                keys.account(tenant_id),
                keys.tenants(keys.shard_of(tenant_id)),
                keys.meters(tenant_id),
                keys.blocks(tenant_id),
                keys.journal(keys.shard_of(tenant_id)),
            )
            expected = str(old.version if old else 0)
            arguments = (tenant_id, "", to_json(new), expected, new.currency, "", "")
            word, *rest = await self._put(names, arguments)
            if word == b"currency":
                raise Conflict("CURRENCY_FIXED", "a tenant's currency cannot be changed")
            if word != b"changed":
                written = replace(new, version=int(rest[0]))
                return self._keep_tenant(written).tenant
        raise contended()

    async def put_payer(self, tenant_id: str, payer: Payer, check: Check = allow) -> Payer:
        """Makes a payer or replaces it whole; whether it is blocked stays. With a version it replaces
        that one alone. Raises NotFound for an unknown tenant, Conflict VERSION_CHANGED.
        """

        def replaced(old: Payer | None) -> Payer:
            new = keep_block(old, payer)
            refuse_old(old, new)
            check(old, new)
            return new

        return await self._write_payer(tenant_id, payer.payer_id, replaced)

    async def put_payers(
        self, tenant_id: str, payers: Sequence[Payer], check: CheckAll = allow_all
    ) -> PayerChanges:
        """Makes or replaces many payers, each as `put_payer` does; see payers.py."""
        await self.fresh_tenant(tenant_id)
        return await self._writer.put(tenant_id, payers, check)

    async def block_payer(self, tenant_id: str, payer_id: str, reason: str) -> Payer:
        """Refuses a payer's calls from now on, and records it. Raises NotFound."""
        return await self._write_payer(
            tenant_id,
            payer_id,
            lambda old: replace(_must_payer(old), blocked=True, block_reason=reason),
            reason,
        )

    async def unblock_payer(self, tenant_id: str, payer_id: str, reason: str) -> Payer:
        """Lets a payer call again, and records it. Raises NotFound."""
        return await self._write_payer(
            tenant_id,
            payer_id,
            lambda old: replace(_must_payer(old), blocked=False, block_reason=""),
            reason,
        )

    async def assign_licenses(
        self,
        tenant_id: str,
        payer_id: str,
        *,
        add: tuple[str, ...],
        remove: tuple[str, ...],
        check: Check = allow,
    ) -> Payer:
        """Swaps licences in one step. Raises NotFound."""

        def swap(stored: Payer | None) -> Payer:
            old = _must_payer(stored)
            kept = [sku for sku in old.licenses if sku not in remove]
            new = replace(old, licenses=(*kept, *(sku for sku in add if sku not in kept)))
            check(old, new)
            return new

        return await self._write_payer(tenant_id, payer_id, swap)

    async def _write_payer(
        self,
        tenant_id: str,
        payer_id: str,
        change: Callable[[Payer | None], Payer],
        reason: str = "",
    ) -> Payer:
        for _ in range(WRITE_ROUNDS):
            tenant, old = await self._read(tenant_id, payer_id)
            new = change(old)
            word, *rest = await self._writer.ask(tenant_id, old, new, reason)
            if word == b"no_tenant":
                raise unknown_tenant()
            if word != b"changed":
                written = replace(new, version=int(rest[0]))
                self._keep(tenant_id, payer_id, tenant, written)
                return written
        raise contended()

    async def list_blocks(self, tenant_id: str, after: str, count: int) -> list[Block]:
        """The newest lines of the record of blocks, or those older than the line at `after`."""
        await self.tenant(tenant_id)
        newest = f"({after}" if after else "+"
        rows = await self._store.command(
            "XREVRANGE", keys.blocks(tenant_id), newest, "-", "COUNT", count
        )
        return [block_of(position, row) for position, row in rows]

    async def page_key(self) -> bytes:
        """The key that signs page tokens: made once, the same in every process."""
        await self._store.command("SET", keys.secret(), secrets.token_bytes(32), "NX")
        return bytes(await self._store.command("GET", keys.secret()))

    async def list_payers(self, tenant_id: str, after: str, count: int) -> list[Payer]:
        """Payers by id, those after `after` first."""
        await self.tenant(tenant_id)
        ids = await self._page(keys.payers(tenant_id), after, count)
        rows = await self._store.commands(
            [("HMGET", keys.payer(tenant_id, payer_id), "pv", "p") for payer_id in ids]
        )
        return [read(payer_of, row) for row in rows]

    async def list_tenants(self, after: str, count: int) -> list[Tenant]:
        """Tenants by id over all shards, those after `after` first."""
        least = f"({after}" if after else "-"
        shards = await self._store.commands(
            [
                ("ZRANGEBYLEX", keys.tenants(shard), least, "+", "LIMIT", 0, count)
                for shard in range(keys.SHARDS)
            ]
        )
        ids = sorted(tenant_id.decode() for shard in shards for tenant_id in shard)[:count]
        return [await self.fresh_tenant(tenant_id) for tenant_id in ids]

    async def named_tenants(self, names: Collection[str], after: str, count: int) -> list[Tenant]:
        """Those of the named tenants that there are, by id."""
        found: list[Tenant] = []
        for tenant_id in sorted(name for name in names if name > after)[:count]:
            with contextlib.suppress(NotFound):
                found.append(await self.fresh_tenant(tenant_id))
        return found

    async def _page(self, index: str, after: str, count: int) -> list[str]:
        least = f"({after}" if after else "-"
        ids = await self._store.command("ZRANGEBYLEX", index, least, "+", "LIMIT", 0, count)
        return [found.decode() for found in ids]


def refuse_old(old: Tenant | Payer | None, new: Tenant | Payer) -> None:
    """Refuses to put what was made from a version of the record (0 is any) over a later one; doing the
    same again is fine, or a repeat would fail.
    """
    stored = old.version if old else 0
    if new.version in (0, stored) or (old and to_json(old) == to_json(new)):
        return
    text = f"the record has version {stored} by now: read it again, and change that"
    raise Conflict("VERSION_CHANGED", text, facts={"profile_version": str(stored)})


def unknown_payer() -> NotFound:
    """Another tenant's and nobody's look the same."""
    return NotFound("UNKNOWN_PAYER", "there is no such payer")


def _must(tenant: Tenant | None) -> Tenant:
    if tenant is None:
        raise unknown_tenant()
    return tenant


def _must_payer(payer: Payer | None) -> Payer:
    if payer is None:
        raise unknown_payer()
    return payer


def _name(tenant_id: str, payer_id: str) -> str:
    # One text takes half the memory of a pair; no id has a blank.
    return f"{tenant_id} {payer_id}"
