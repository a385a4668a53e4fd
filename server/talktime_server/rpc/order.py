"""The order of a stream's operations: kept within a tenant, while tenants do not wait for each other."""

from talktime.v1.authorization_service_pb2 import Operation


class TenantOrder:
    """Gives out operations so that a tenant's next ones start only when its earlier ones are answered.

    What is ready goes out together, whatever message it came in: that keeps the batches large.
    """

    __slots__ = ("_busy", "_ready", "_waiting")

    def __init__(self) -> None:
        self._ready: list[tuple[str, Operation]] = []
        self._busy: dict[str, int] = {}
        self._waiting: dict[str, list[Operation]] = {}

    def add(self, tenant: str, operation: Operation) -> None:
        """Takes an operation in the order it was read."""
        if tenant in self._busy:
            self._waiting.setdefault(tenant, []).append(operation)
        else:
            self._ready.append((tenant, operation))

    def take(self) -> list[Operation]:
        """The operations that may start now; their tenants are busy until all of them are answered."""
        ready, self._ready = self._ready, []
        for tenant, _ in ready:
            self._busy[tenant] = self._busy.get(tenant, 0) + 1
        return [operation for _, operation in ready]

    def answered(self, tenant: str) -> None:
        """Notes the end of one of a tenant's operations."""
        left = self._busy[tenant] - 1
        if left:
            self._busy[tenant] = left
            return
        del self._busy[tenant]
        self._ready += [(tenant, operation) for operation in self._waiting.pop(tenant, ())]
