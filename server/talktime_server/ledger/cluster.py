"""The store as a cluster: which primary has which shard, and what to do when that has just changed.

The map comes from the servers themselves (CLUSTER SLOTS), at first and whenever one of them could not
be asked. A server that has not, or has no more, what it is asked for says so before it runs anything,
and names who has it: MOVED for good, ASK for a key that is just moving. That is followed a few times;
everything else ends as with a single server. A primary that is away takes its own shards along and no
others.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from redis.crc import key_slot

from talktime_server.failure import StoreAway
from talktime_server.ledger import keys
from talktime_server.ledger.connection import Refused, away
from talktime_server.ledger.server import Ask, Server, pool_at
from talktime_server.ledger.store_url import Address, StoreUrl

REDIRECTIONS = 3  # of one question
LOOK_AGAIN_S = 0.1  # at least between two looks at the map

_SLOTS = {keys.tag(shard): key_slot(keys.tag(shard).encode()) for shard in range(keys.SHARDS)}

_Range = tuple[int, int, list[Address]]  # of slots; who serves it, its primary first
Question = Callable[
    [Server, bool], Awaitable[Any]
]  # to a server; whether its key is just moving there


@dataclass(frozen=True, slots=True)
class _Direction:
    """Who has a slot, by one who has it not."""

    address: Address
    moving: bool

    @classmethod
    def read(cls, error: Refused, told_by: Address) -> "_Direction | None":
        """None for an error that is none."""
        word, _, rest = str(error).partition(" ")
        if word not in ("MOVED", "ASK"):
            return None
        host, _, port = rest.split(" ")[1].rpartition(":")
        return cls(_address(host, int(port), told_by), word == "ASK")


def _address(host: str, port: int, told_by: Address) -> Address:
    """A server that does not know by which name it is called leaves that out."""
    return (host if host not in ("", "?") else told_by[0]), port


class Cluster:
    """Finds for each question the primary that has its shard; its face is that of one server."""

    def __init__(self, url: StoreUrl, *, timeout_s: float) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._known = list(url.addresses)
        self._servers: dict[Address, Server] = {}
        self._homes: dict[str, Address] = {}  # by the tag of a shard
        self._looking: asyncio.Task[None] | None = None
        self._looked_s = float("-inf")

    async def close(self) -> None:
        """Hangs up on all."""
        if self._looking:
            self._looking.cancel()
            await asyncio.wait([self._looking])
        for server in self._servers.values():
            await server.close()

    async def evaluate(self, text: bytes, ask: bytes, key: str) -> list[Any]:
        """Runs a script once where the shard of this key is."""

        def question(server: Server, moving: bool) -> Awaitable[list[Any]]:
            return server.evaluate_ahead(text, ask) if moving else server.evaluate(text, ask, key)

        return list(await self._directed(keys.tag_of(key), question))

    async def command(self, *ask: Any) -> Any:
        """Runs one command that may safely be lost or repeated; one without a key at any primary."""

        def question(server: Server, moving: bool) -> Awaitable[Any]:
            return server.command_ahead(*ask) if moving else server.command(*ask)

        if tag := _tag_in(ask):
            return await self._directed(tag, question)
        failure = away("the cluster has no server")
        for tag in await self._primaries():
            try:
                return await self._directed(tag, question)
            except StoreAway as each:
                failure = each
        raise failure

    async def commands(self, asks: Sequence[Ask]) -> list[Any]:
        """Runs several such commands, those of one primary in one trip; in place of an answer may be
        Refused or StoreAway.
        """
        try:
            await self._primaries()
        except StoreAway as failure:
            return [failure] * len(asks)
        places: dict[Address | None, list[int]] = {}
        for n, ask in enumerate(asks):
            places.setdefault(self._homes.get(_tag_in(ask)), []).append(n)
        answers: list[Any] = [None] * len(asks)

        async def trip(address: Address | None, numbers: list[int]) -> None:
            some = [asks[n] for n in numbers]
            for n, answer in zip(numbers, await self._trip(address, some), strict=True):
                answers[n] = answer

        await asyncio.gather(*(trip(*each) for each in places.items()))
        return answers

    async def _trip(self, address: Address | None, asks: Sequence[Ask]) -> list[Any]:
        """Those whose place is not known, or has just changed, go one by one, in their order."""
        if address is None:
            return [await self._tried(ask) for ask in asks]
        answers = await self._server(address).commands(asks)
        if any(isinstance(each, StoreAway) for each in answers):
            self._look_again()
        return [
            await self._tried(ask) if _directs(answer) else answer
            for ask, answer in zip(asks, answers, strict=True)
        ]

    async def _tried(self, ask: Ask) -> Any:
        try:
            return await self.command(*ask)
        except (Refused, StoreAway) as failure:
            return failure

    async def everywhere(self, *ask: Any) -> list[Any]:
        """The answer of every primary that can be asked."""
        return await self._of_all(lambda server: server.command(*ask))

    async def reach(self) -> None:
        """Connects to every primary that can be reached."""
        await self._of_all(Server.reach)

    async def _of_all(self, question: Callable[[Server], Awaitable[Any]]) -> list[Any]:
        servers = [self._server(self._homes[tag]) for tag in await self._primaries()]
        answers = await asyncio.gather(*map(question, servers), return_exceptions=True)
        failed = [each for each in answers if isinstance(each, BaseException)]
        for failure in failed:
            if len(failed) == len(answers) or not isinstance(failure, StoreAway):
                raise failure
        return [each for each in answers if not isinstance(each, BaseException)]

    def shards(self) -> list[int]:
        """A shard of every primary that is known now."""
        return [keys.shard_in(tag) for tag in self._heads()] or [0]

    async def _primaries(self) -> list[str]:
        """The tag of a shard of every primary."""
        if not self._homes:
            await self._look()
        return self._heads()

    def _heads(self) -> list[str]:
        heads: dict[Address, str] = {}
        for tag, address in self._homes.items():
            heads.setdefault(address, tag)
        return list(heads.values())

    async def _directed(self, tag: str, question: Question) -> Any:
        """Asks where the shard is, and where they say that it has gone: who says so ran nothing."""
        address, moving = self._homes.get(tag) or await self._found(tag), False
        for _ in range(REDIRECTIONS + 1):
            try:
                return await question(self._server(address), moving)
            except StoreAway:
                self._look_again()
                raise
            except Refused as error:
                direction = _Direction.read(error, address)
                if direction is None:
                    if str(error).startswith("CLUSTERDOWN"):
                        self._look_again()
                    raise
            address, moving = direction.address, direction.moving
            if not moving:
                self._homes[tag] = address
                self._look_again()
        raise away("the shard moves about; try again")

    async def _found(self, tag: str) -> Address:
        await self._look()
        if tag not in self._homes:
            raise away("no server of the cluster has the shard")
        return self._homes[tag]

    def _server(self, address: Address) -> Server:
        if address not in self._servers:
            pool = pool_at(self._url, self._timeout_s, address)
            self._servers[address] = Server(pool, timeout_s=self._timeout_s)
        return self._servers[address]

    def _look_again(self) -> None:
        """Beside whoever noticed: they have their answer."""
        now_s = asyncio.get_running_loop().time()
        if self._looking is None and now_s - self._looked_s >= LOOK_AGAIN_S:
            self._begin_look()

    def _begin_look(self) -> "asyncio.Task[None]":
        self._looking = asyncio.create_task(self._learn())
        self._looking.add_done_callback(self._looked)
        return self._looking

    def _looked(self, task: "asyncio.Task[None]") -> None:
        self._looking = None
        self._looked_s = asyncio.get_running_loop().time()
        if not task.cancelled():
            task.exception()  # those who waited have heard of it

    async def _look(self) -> None:
        await asyncio.shield(self._looking or self._begin_look())

    async def _learn(self) -> None:
        """Takes the map from the first server that tells it."""
        failure = away("the store cannot be reached")
        for address in list(self._known):
            try:
                rows = await self._server(address).command("CLUSTER", "SLOTS")
            except StoreAway as each:
                failure = each
            except Refused as error:
                failure = StoreAway("STORE_REFUSES", "the store is not a cluster, or has no map")
                failure.__cause__ = error
            else:
                ranges = [(first, last, _addresses(nodes, address)) for first, last, *nodes in rows]
                if ranges:
                    await self._take(ranges, address)
                    return
                failure = away("the cluster has no shards yet")
        raise failure

    async def _take(self, ranges: Sequence[_Range], told_by: Address) -> None:
        self._homes = {
            tag: served[0]
            for tag, slot in _SLOTS.items()
            for first, last, served in ranges
            if first <= slot <= last
        }
        every = [address for _, _, served in ranges for address in served]
        self._known = list(dict.fromkeys([told_by, *every, *self._url.addresses]))
        for address in self._servers.keys() - self._known:
            await self._servers.pop(address).close()


def _addresses(nodes: Iterable[Sequence[Any]], told_by: Address) -> list[Address]:
    """The primary's, then those of its replicas."""
    return [_address((host or b"").decode(), int(port), told_by) for host, port, *_ in nodes]


def _tag_in(ask: Ask) -> str:
    """The tag of a command's key; empty for a command that has none."""
    names = (part for part in ask[1:] if isinstance(part, (str, bytes)))
    return next((tag for tag in map(keys.tag_of, names) if tag), "")


def _directs(answer: Any) -> bool:
    return isinstance(answer, Refused) and str(answer).startswith(("MOVED ", "ASK "))
