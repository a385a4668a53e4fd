"""How far the journals of tenants are: the cheapest question by which one sees that money has moved."""

from collections.abc import Sequence

from talktime_server.ledger import keys
from talktime_server.ledger.store import Store


class Versions:
    """Counts journal lines, by tenant."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def of(self, tenant_ids: Sequence[str]) -> dict[str, int]:
        """How many lines each of these tenants has, in one trip. Raises StoreAway."""
        if not tenant_ids:
            return {}
        counts = await self._store.commands(
            [("HGET", keys.tenant(tenant_id), "v") for tenant_id in tenant_ids]
        )
        return {each: int(count or 0) for each, count in zip(tenant_ids, counts, strict=True)}
