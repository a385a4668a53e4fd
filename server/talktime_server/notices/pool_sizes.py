"""How large tenants' pools are, in seconds of talk time: from the licences that are assigned by the archive's count.

Counting a tenant's licences reads all of its payers, so counts are kept from batch to batch as long
as no line about a profile comes between: versions without a gap prove that none was missed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from talktime_server.archive.schema import profiles
from talktime_server.ledger.entries import Entry
from talktime_server.ledger.profiles import Tenant, tenant_of
from talktime_server.words import EntryKind

MOST_KEPT = 50_000
_UNUSED = (0, 0)


class Sized(Protocol):
    """A pool, and how much of it there is in a month."""

    @property
    def pool_id(self) -> str:
        """As the journal names it."""

    @property
    def size_seconds(self) -> int:
        """Of all its licences together."""


# The catalogue's figures: a tenant's pools by its counts of licences (by count name) and the used and held seconds by pool.
PoolsOf = Callable[[Tenant, Mapping[str, int], Mapping[str, tuple[int, int]]], Sequence[Sized]]


@dataclass(slots=True)
class _Counted:
    version: int  # of the last line of the tenant that it is good for
    tenant: Tenant
    counts: dict[str, int]
    sizes: dict[str, int] = field(default_factory=dict)


class PoolSizes:
    """The sizes of pools as the archive's profiles make them."""

    def __init__(self, pools_of: PoolsOf) -> None:
        self._pools_of = pools_of
        self._kept: dict[str, _Counted] = {}

    def see(self, tenant_id: str, lines: Sequence[Entry]) -> None:
        """Notes the lines of one batch about a tenant, in their order, before its sizes are asked for."""
        kept = self._kept.get(tenant_id)
        if kept is None:
            return
        follows = lines[0].version == kept.version + 1
        if follows and not _touches_profiles(lines):
            kept.version = lines[-1].version
        else:
            del self._kept[tenant_id]

    async def size_seconds(
        self, connection: AsyncConnection, tenant_id: str, pool_id: str, lines: Sequence[Entry]
    ) -> int:
        """How large a pool is; 0 when nobody knows. `lines` are the tenant's of this batch, in order."""
        counted = self._kept.get(tenant_id)
        if counted is None:
            counted = await _count(connection, tenant_id, lines[-1].version)
            if counted is None:
                return 0
            if not _touches_profiles(lines):
                self._keep(tenant_id, counted)
        if pool_id not in counted.sizes:
            pools = self._pools_of(counted.tenant, counted.counts, {pool_id: _UNUSED})
            counted.sizes[pool_id] = sum(p.size_seconds for p in pools if p.pool_id == pool_id)
        return counted.sizes[pool_id]

    def _keep(self, tenant_id: str, counted: _Counted) -> None:
        if len(self._kept) >= MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[tenant_id] = counted


def _touches_profiles(lines: Iterable[Entry]) -> bool:
    return any(line.kind is EntryKind.PROFILE for line in lines)


async def _count(connection: AsyncConnection, tenant_id: str, version: int) -> _Counted | None:
    """A tenant and how many of its payers add to each count; None where the archive has no tenant yet."""
    table = profiles
    mine = table.c.tenant_id == tenant_id
    asked = select(table.c.body).where(mine, table.c.payer_id == "")
    body = (await connection.execute(asked)).scalar_one_or_none()
    if body is None:
        return None
    counts: dict[str, int] = {}
    grouped = select(table.c.counts, func.count()).where(mine, table.c.counts != "")
    for names, payers in await connection.execute(grouped.group_by(table.c.counts)):
        for name in names.split():
            counts[name] = counts.get(name, 0) + payers
    return _Counted(version, tenant_of(body, 0), counts)
