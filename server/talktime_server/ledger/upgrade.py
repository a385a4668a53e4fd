"""Brings a store that an older talktime wrote to this one's data version, before the first call is served (semantics 91).

Almost everything older is read as it is, wherever it is read. What cannot wait are the accounts of
tenants, which older versions kept field by field, the counts of licences that size pools, which the
first version did not have, and what the archive must know: every profile and every open call,
which older versions kept to themselves. Any number of processes
may do this at once, and it may be cut off anywhere: a payer is counted and told of once, by the
script that writes profiles, and who comes next goes on at the mark.

A process of an older version that still runs beside finds no tenant that was brought here, so it
refuses their calls, and moves no money.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog

from talktime_server.failure import Broken, Unsafe
from talktime_server.ledger import keys
from talktime_server.ledger.payers import WRITE_ROUNDS, PayerWriter, contended, read
from talktime_server.ledger.profiles import Payer, payer_of
from talktime_server.ledger.store import Answer, Script, Store

# 1 had no pools and kept no number; 2 told the archive of no profile and no call; 3 had no accounts; 4 kept calls by names.
DATA_VERSION = 5
TOLD_VERSION = 3  # from which on the archive was told of everything
ACCOUNTS_VERSION = 4  # from which on tenants have accounts
PAGE = 500
TELL_EVERY = 5_000  # payers
MARK_LIFE_S = 3_600  # a mark that somebody left behind must not be trusted for ever

log = structlog.get_logger()


class Upgrade:
    """`counted` names the counts of licences that a payer adds to."""

    def __init__(self, store: Store, counted: Callable[[Payer], tuple[str, ...]]) -> None:
        self._store = store
        self._counted = counted
        self._put = Script(store, "put_profile")
        self._keep = Script(store, "keep")
        self._account = Script(store, "open_account")
        self._writer = PayerWriter(store, self._put, counted)

    async def run(self) -> None:
        """Returns when the store has this data version: with one question when it has it already.
        Raises Unsafe for a store of a newer one, StoreAway when it cannot be asked or written.
        """
        stored = await self._stored()
        if stored < ACCOUNTS_VERSION:
            await self._open_accounts()
        if stored < TOLD_VERSION:
            await self._tell_all()
        if stored < DATA_VERSION:
            await self._store.command("DEL", keys.upgrade_mark())
            await self._raise_version(stored)
            stored = await self._stored()
        if stored > DATA_VERSION:
            raise _too_new(str(stored))

    async def _raise_version(self, found: int) -> None:
        """Never over a number that somebody else wrote: a newer process may have been faster."""
        if found > 1 and await self._stored() == found:
            await self._store.command("SET", keys.stored_version(), DATA_VERSION)
        await self._store.command("SET", keys.stored_version(), DATA_VERSION, "NX")

    async def _stored(self) -> int:
        text = (await self._store.command("GET", keys.stored_version()) or b"1").decode()
        if not (text.isascii() and text.isdigit()):
            raise _too_new(text)
        return int(text)

    async def _open_accounts(self) -> None:
        """Gives every tenant its account, once."""
        tenants = await self._tenants("")
        for start in range(0, len(tenants), PAGE):
            part = tenants[start : start + PAGE]
            await asyncio.gather(*map(self._open_account, part))
        if tenants:
            log.info("accounts_opened", tenants=len(tenants), data_version=DATA_VERSION)

    def _open_account(self, tenant_id: str) -> Awaitable[Answer]:
        names = (keys.old_tenant(tenant_id), keys.tenant(tenant_id), keys.account(tenant_id))
        return self._account(names, ())

    async def _tell_all(self) -> None:
        """Walks all payers by tenant and id, beginning after the mark, and each tenant's open calls."""
        mark = (await self._store.command("GET", keys.upgrade_mark()) or b"").decode()
        first, _, after = mark.partition(" ")
        seen = 0
        for tenant_id in await self._tenants(first):
            await self._tell_tenant(tenant_id)
            position = after if tenant_id == first else ""
            while ids := await self._payers(tenant_id, position):
                await self._tell_payers(tenant_id, ids)
                position = ids[-1]
                mark = f"{tenant_id} {position}"  # no id has a space
                await self._store.command("SET", keys.upgrade_mark(), mark, "EX", MARK_LIFE_S)
                if (seen + len(ids)) // TELL_EVERY > seen // TELL_EVERY:
                    log.info("store_upgrading", payers=seen + len(ids), tenant_id=tenant_id)
                seen += len(ids)
            await self._tell_calls(tenant_id)
        if seen:
            log.info("store_upgraded", payers=seen, data_version=DATA_VERSION)

    async def _tell_tenant(self, tenant_id: str) -> None:
        """Writes a tenant's settings as they are; who changes them meanwhile tells the archive too."""
        row = await self._store.command("HMGET", keys.tenant(tenant_id), "pv", "p", "j", "cur")
        if row[0] is None or row[2]:
            return
        version, body, _, currency = (
            part.decode() for part in (row[0], row[1], b"", row[3] or b"")
        )
        names = (
            keys.tenant(tenant_id),
            keys.tenant(tenant_id),
            keys.account(tenant_id),
            keys.tenants(keys.shard_of(tenant_id)),
            keys.meters(tenant_id),
            keys.blocks(tenant_id),
            keys.journal(keys.shard_of(tenant_id)),
        )
        await self._put(names, (tenant_id, "", body, version, currency, "", ""))

    async def _tell_calls(self, tenant_id: str) -> None:
        """Has the open calls written down anew."""
        ids = await self._store.command("ZRANGE", keys.open_calls(tenant_id), 0, -1)
        shard = keys.shard_of(tenant_id)
        for start in range(0, len(ids), PAGE):
            found = [call_id.decode() for call_id in ids[start : start + PAGE]]
            await asyncio.gather(
                *(
                    self._keep(
                        (
                            keys.tenant(tenant_id),
                            keys.account(tenant_id),
                            keys.call(tenant_id, call_id),
                            keys.journal(shard),
                            keys.recharges(shard),
                        ),
                        (call_id, tenant_id),
                    )
                    for call_id in found
                )
            )

    async def _tenants(self, first: str) -> list[str]:
        """All tenants from this one on, by id."""
        least = f"[{first}" if first else "-"
        shards = await self._store.commands(
            [("ZRANGEBYLEX", keys.tenants(shard), least, "+") for shard in range(keys.SHARDS)]
        )
        return sorted(tenant_id.decode() for shard in shards for tenant_id in shard)

    async def _payers(self, tenant_id: str, after: str) -> list[str]:
        least = f"({after}" if after else "-"
        ids = await self._store.command(
            "ZRANGEBYLEX", keys.payers(tenant_id), least, "+", "LIMIT", 0, PAGE
        )
        return [payer_id.decode() for payer_id in ids]

    async def _tell_payers(self, tenant_id: str, payer_ids: Sequence[str]) -> None:
        """Has these payers counted and told of, and reads those again that somebody else wrote meanwhile."""
        for _ in range(WRITE_ROUNDS):
            payers = await self._untold(tenant_id, payer_ids)
            answers = await asyncio.gather(
                *(self._writer.ask(tenant_id, payer, payer) for payer in payers)
            )
            payer_ids = [
                payer.payer_id
                for payer, answer in zip(payers, answers, strict=True)
                if answer[0] == b"changed"
            ]
            if not payer_ids:
                return
        raise contended()

    async def _untold(self, tenant_id: str, payer_ids: Sequence[str]) -> list[Payer]:
        """Those that are not counted as they should be, or that the archive does not know. The others
        stay untouched: a payer that is written has the tenant's open calls judged again.
        """
        rows = await self._store.commands(
            [("HMGET", keys.payer(tenant_id, name), "pv", "p", "n", "j") for name in payer_ids]
        )
        found = [(_readable(tenant_id, row[:2]), row[2] or b"", row[3]) for row in rows]
        return [
            payer
            for payer, counts, told in found
            if payer and not (told and " ".join(self._counted(payer)) == counts.decode())
        ]


def _readable(tenant_id: str, row: Sequence[Any]) -> Payer | None:
    """One record that cannot be read is no reason to serve nobody."""
    version, body = row
    if version is None:
        return None
    try:
        return read(payer_of, (version, body))
    except Broken as failure:
        log.error("upgrade_passed_over", tenant_id=tenant_id, reason=failure.reason)
        return None


def _too_new(stored: str) -> Unsafe:
    return Unsafe(
        f"the store holds data version {stored}, this talktime reads up to {DATA_VERSION}: "
        "start the talktime that wrote it or a newer one, or give this one another store"
    )
