"""How far the journals of tenants are: the cheapest question by which one sees that money has moved."""

from collections.abc import Sequence

from talktime_server.ledger import keys
from talktime_server.ledger.account import Account
from talktime_server.ledger.store import Store


class Versions:
    """Counts journal lines, by tenant."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def of(self, tenant_ids: Sequence[str]) -> dict[str, int]:
        """How many lines each of these tenants has, in one trip. Raises StoreAway."""
        if not tenant_ids:
            return {}
        kept = await self._store.strings([*map(keys.account, tenant_ids)])
        return {
            each: Account.read(stored).version
            for each, stored in zip(tenant_ids, kept, strict=True)
        }
