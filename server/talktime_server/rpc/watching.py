"""WatchBalance: a tenant's money now, and again whenever it moved.

One look at the store for all watchers of a process, twice a second; only a tenant that moved is read in full, once,
however many watch it. Now and then a watcher is told without news, so that both sides know that the other is there.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from google.protobuf.message import Message

from talktime.v1 import account_service_pb2 as pb
from talktime_server.failure import Failure, StoreAway
from talktime_server.ledger.directory import Directory
from talktime_server.ledger.ledger import Ledger
from talktime_server.ledger.recharges import Recharges
from talktime_server.ledger.versions import Versions
from talktime_server.rpc import messages
from talktime_server.rpc.account_methods import READERS, account_stream
from talktime_server.rpc.decoding import Checks
from talktime_server.rpc.messages import instant
from talktime_server.rpc.recharge_messages import recharge_message
from talktime_server.rpc.shapes import Identity, Stream

TICK_S = 0.5
# Well below the time after which Envoy ends a stream where nothing moves.
QUIET_S = 60.0
# A store that is away longer than this ends the watching: its callers come again, and hear of it.
STORE_PATIENCE_S = 5.0

_Reading = asyncio.Future[pb.WatchBalanceResponse]


class _Watched:
    """One tenant that is being watched, by so many; `reading` is the last one that the ticks made."""

    def __init__(self) -> None:
        self.watchers = 0
        self.version = -1
        self.reading: _Reading = _pending()

    def tell(self, reading: pb.WatchBalanceResponse) -> None:
        """Wakes everybody who waits for news."""
        self.version = reading.version
        told, self.reading = self.reading, _pending()
        told.set_result(reading)

    def end(self, failure: Failure) -> None:
        ended, self.reading = self.reading, _pending()
        ended.set_exception(failure)
        ended.exception()  # It may be that nobody waits just now.


class Watching:
    """The handler, and the ticks that feed it."""

    def __init__(
        self,
        *,
        directory: Directory,
        ledger: Ledger,
        versions: Versions,
        recharges: Recharges,
    ) -> None:
        self._directory = directory
        self._ledger = ledger
        self._versions = versions
        self._recharges = recharges
        self._watched: dict[str, _Watched] = {}
        self._somebody = asyncio.Event()

    def stream(self) -> Stream:
        """The row for the edge's table."""
        return account_stream("WatchBalance", pb.WatchBalanceRequest, READERS, self._watch)

    async def run(self) -> None:
        """Looks, while anybody watches, until cancelled."""
        loop = asyncio.get_running_loop()
        good_s = loop.time()
        while True:
            if not self._watched:
                await self._somebody.wait()
                good_s = loop.time()
            try:
                await self.look()
                good_s = loop.time()
            except Failure as failure:
                if loop.time() - good_s > STORE_PATIENCE_S:
                    self._end_all(failure)
            await asyncio.sleep(TICK_S)

    async def look(self) -> None:
        """Tells the watchers of every tenant that moved since the last look. Raises StoreAway."""
        counts = await self._versions.of(list(self._watched))
        moved = [
            tenant_id
            for tenant_id, watched in self._watched.items()
            if counts.get(tenant_id, watched.version) != watched.version
        ]
        await asyncio.gather(*map(self._tell, moved))

    async def _tell(self, tenant_id: str) -> None:
        try:
            reading = await self._read(tenant_id)
        except StoreAway:
            raise
        except Failure as failure:  # Of this tenant alone.
            self._watched.get(tenant_id, _Watched()).end(failure)
        else:
            self._watched.get(tenant_id, _Watched()).tell(reading)

    async def _watch(
        self, request: pb.WatchBalanceRequest, identity: Identity
    ) -> AsyncGenerator[Message, None]:
        checks = Checks()
        tenant_id = checks.tenant("tenant_id", request.tenant_id, identity)
        checks.done()
        async with self._joined(tenant_id) as watched:
            reading = await self._read(tenant_id)
            while True:
                yield reading
                # What moves meanwhile is told at once after it, in its last state.
                await asyncio.sleep(TICK_S)
                reading = await self._next(tenant_id, watched, reading.version)

    async def _next(
        self, tenant_id: str, watched: _Watched, version: int
    ) -> pb.WatchBalanceResponse:
        """The next reading worth telling to one who knows this version."""
        if watched.version > version:
            return await self._read(tenant_id)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(QUIET_S):
                while True:
                    reading = await asyncio.shield(watched.reading)
                    if reading.version > version:
                        return reading
        return await self._read(tenant_id)

    @asynccontextmanager
    async def _joined(self, tenant_id: str) -> AsyncIterator[_Watched]:
        watched = self._watched.setdefault(tenant_id, _Watched())
        watched.watchers += 1
        self._somebody.set()
        try:
            yield watched
        finally:
            watched.watchers -= 1
            if not watched.watchers:
                del self._watched[tenant_id]
            if not self._watched:
                self._somebody.clear()

    async def _read(self, tenant_id: str) -> pb.WatchBalanceResponse:
        """A tenant's money now. Raises NotFound."""
        tenant = await self._directory.fresh_tenant(tenant_id)
        balance = await self._ledger.balance(tenant)
        return pb.WatchBalanceResponse(
            balance=messages.balance(balance.money, tenant),
            open_calls=balance.open_calls,
            recharge=recharge_message(await self._recharges.view(tenant_id)),
            version=balance.version,
            read_time=instant(balance.read_ms),
        )

    def _end_all(self, failure: Failure) -> None:
        for watched in self._watched.values():
            watched.end(failure)


def _pending() -> _Reading:
    return asyncio.get_running_loop().create_future()
