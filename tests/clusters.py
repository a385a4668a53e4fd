"""A real cluster for the tests: three primaries, no replicas, formed here and stopped by their process ids."""

import asyncio
import random
import socket
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from redis.asyncio import Redis
from redis.crc import key_slot

from stores import StoreProcess
from talktime_server.ledger import keys

PRIMARIES = 3
SLOTS = 16_384
PORTS = (12_000, 32_000)
LIMIT_S = 20.0
LOOK_EVERY_S = 0.02


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on now. None is one that the system gives to whoever
    connects: a server that was killed must find its own free again.
    """
    found: list[int] = []
    while len(found) < count:
        port = random.randint(*PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found += [port] * (port not in found)
    return found


async def until(found: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """What `found` gives once that is true."""
    deadline = time.monotonic() + LIMIT_S
    while not (last := await found()):
        assert time.monotonic() < deadline, last
        await asyncio.sleep(LOOK_EVERY_S)
    return last


async def asked(process: StoreProcess, *command: Any) -> Any:
    """The answer of a process to one command."""
    connection = Redis(unix_socket_path=str(process.socket), protocol=2)
    try:
        return await connection.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py leaves it bare
    finally:
        await connection.aclose()


class Member:
    """One server, at a port and, for the tests' own questions, at a Unix socket."""

    def __init__(self, port: int, **settings: str) -> None:
        self.port = port
        self.address = ("127.0.0.1", port)
        self.process = StoreProcess(port=str(port), bind="127.0.0.1", **settings)

    async def ask(self, *command: Any) -> Any:
        """One command, on a connection of its own."""
        return await asked(self.process, *command)

    async def name(self) -> str:
        """What the cluster calls it."""
        return str((await self.ask("CLUSTER", "MYID")).decode())


class ClusterProcess:
    """Three primaries with a third of the slots each; a shard whose primary is away takes no other along. They tell of the
    ports of their doors, where they have some.
    """

    def __init__(self, doors: Sequence[int] = ()) -> None:
        ports = free_ports(2 * PRIMARIES)
        self.members = [
            Member(
                port,
                cluster_enabled="yes",
                cluster_port=str(bus),
                cluster_node_timeout="2000",
                cluster_require_full_coverage="no",
                cluster_announce_port=str(door),
            )
            for port, bus, door in zip(
                ports[:PRIMARIES], ports[PRIMARIES:], doors or ports[:PRIMARIES], strict=True
            )
        ]
        self._buses = ports[PRIMARIES:]

    @property
    def url(self) -> str:
        """As an operator names it."""
        return f"redis+cluster://{','.join(f'127.0.0.1:{each.port}' for each in self.members)}"

    async def start(self) -> None:
        """Returns when every server knows who has which slot."""
        await asyncio.gather(*(each.process.start() for each in self.members))
        first = self.members[0]
        for n, member in enumerate(self.members):
            await member.ask("CLUSTER", "SET-CONFIG-EPOCH", n + 1)
            start, end = (SLOTS * each // PRIMARIES for each in (n, n + 1))
            await member.ask("CLUSTER", "ADDSLOTSRANGE", start, end - 1)
            if member is not first:
                await member.ask("CLUSTER", "MEET", "127.0.0.1", first.port, self._buses[0])
        await until(self.whole)

    async def whole(self) -> bool:
        """Whether all know that there is nothing amiss."""
        maps = [await each.ask("CLUSTER", "SLOTS") for each in self.members]
        told = [await each.ask("CLUSTER", "INFO") for each in self.members]
        covered = all(sum(last - first + 1 for first, last, *_ in each) == SLOTS for each in maps)
        return covered and all(_state(each) == "ok" for each in told)

    async def home(self, shard: int) -> Member:
        """Who has a shard now."""
        slot = slot_of(shard)
        for first, last, (_, port, *_), *_ in await self.members[0].ask("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(each for each in self.members if each.port == port)
        raise AssertionError(f"nobody has shard {shard}")

    async def empty(self) -> None:
        """Throws away all that is kept."""
        await asyncio.gather(*(each.ask("FLUSHALL") for each in self.members))

    async def begin_move(self, shard: int, source: Member, target: Member) -> None:
        """From now on both know that the shard's keys go from one to the other."""
        slot = slot_of(shard)
        await target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", await source.name())
        await source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", await target.name())

    async def move_keys(self, shard: int, source: Member, target: Member, most: int) -> bool:
        """Moves some keys that are there now; whether there were any."""
        names = await source.ask("CLUSTER", "GETKEYSINSLOT", slot_of(shard), most)
        if names:
            host, port = target.address
            await source.ask("MIGRATE", host, port, "", 0, 5_000, "KEYS", *names)
        return bool(names)

    async def end_move(self, shard: int, target: Member) -> None:
        """The target has the shard from now on."""
        name = await target.name()
        for member in (target, *(each for each in self.members if each is not target)):
            await member.ask("CLUSTER", "SETSLOT", slot_of(shard), "NODE", name)

    async def move(self, shard: int, source: Member, target: Member) -> None:
        """Moves a shard whole, key by key."""
        await self.begin_move(shard, source, target)
        while await self.move_keys(shard, source, target, 1_000):
            pass
        await self.end_move(shard, target)

    async def leap(self, shard: int, source: Member, target: Member) -> None:
        """Has the servers move a shard themselves, in one step."""
        slot = slot_of(shard)
        name = await target.name()
        await source.ask("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", name)

        async def there() -> bool:
            return await self.home(shard) is target

        await until(there)

    def other(self, member: Member) -> Member:
        """One that is not this one."""
        return next(each for each in self.members if each is not member)

    def stop(self) -> None:
        """Ends all."""
        for member in self.members:
            member.process.stop()


def slot_of(shard: int) -> int:
    """The slot of a shard."""
    return int(key_slot(keys.tag(shard).encode()))


def _state(told: Any) -> str:
    facts = told if isinstance(told, dict) else _lines(told)
    return str(facts["cluster_state"])


def _lines(told: bytes) -> dict[str, str]:
    lines = told.decode().splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def tenant_in(shard: int, word: str) -> str:
    """The id of a tenant of this shard that begins with a word."""
    return next(name for n in range(100_000) if keys.shard_of(name := f"{word}{n}") == shard)
