"""A store that Sentinels watch over: a primary, a replica and one Sentinel, all real."""

from collections.abc import Sequence
from typing import Any

from redis.exceptions import ResponseError

from clusters import Member, asked, free_ports, until
from stores import StoreProcess, program

NAME = "mymaster"
DOWN_AFTER_MS = 1_000  # a busy machine is not down


class SentinelProcess(StoreProcess):
    """A Sentinel, which is enough by itself to say that a primary is gone."""

    def __init__(self, port: int, watched: int) -> None:
        super().__init__()
        self._port = port
        self._watched = watched

    def _command(self) -> list[str]:
        lines = [
            f"port {self._port}",
            "bind 127.0.0.1",
            f"dir {self.folder}",
            f"unixsocket {self.socket}",
            f"sentinel monitor {NAME} 127.0.0.1 {self._watched} 1",
            f"sentinel down-after-milliseconds {NAME} {DOWN_AFTER_MS}",
            f"sentinel failover-timeout {NAME} 1500",
        ]
        path = self.folder / "sentinel.conf"
        path.write_text("\n".join(lines) + "\n")
        return [*program(), str(path), "--sentinel"]


def _replicating(port: int) -> dict[str, str]:
    shown = {"replica_announce_ip": "127.0.0.1", "replica_announce_port": str(port)}
    return {**shown, "repl_diskless_sync_delay": "0"}


class WatchedStore:
    """A primary with a replica, and who says which is which. They are known by the ports of their doors, where they have some."""

    def __init__(self, doors: Sequence[int] = ()) -> None:
        first, second, self._port = free_ports(3)
        one, two = doors or (first, second)
        self.primary = Member(first, **_replicating(one))
        self.replica = Member(second, **_replicating(two), replicaof=f"127.0.0.1 {one}")
        self.sentinel = SentinelProcess(self._port, one)

    @property
    def url(self) -> str:
        """As an operator names it; of two Sentinels one is gone."""
        return f"redis+sentinel://127.0.0.1:1,127.0.0.1:{self._port}/{NAME}"

    async def start(self) -> None:
        """Returns when the Sentinel knows of the replica, and the replica of everything."""
        await self.primary.process.start()
        await self.replica.process.start()
        await self.sentinel.start()
        # Else it takes ten seconds to look at them, eight to tell the old primary, and thirty to trust its clock again.
        for period in ("INFO-PERIOD", "PUBLISH-PERIOD", "TILT-PERIOD"):
            await self.ask("DEBUG", period, 200)
        # Five of these is how old its look at a replica may be that it promotes, and it looks once a second then.
        await self.ask("DEBUG", "PING-PERIOD", 400)
        await until(self._watched)

    async def copied(self) -> None:
        """Waits until whoever is the replica now has what the primary has."""
        written = (await self.primary.ask("INFO", "replication"))["master_repl_offset"]

        async def there() -> bool:
            told = await self.replica.ask("INFO", "replication")
            return bool(told.get("slave_repl_offset", 0) >= written)

        await until(there)

    async def ask(self, *command: Any) -> Any:
        """Asks the Sentinel."""
        return await asked(self.sentinel, "SENTINEL", *command)

    async def hand_over(self) -> None:
        """Has the primary and the replica change places."""
        await until(self._willing)
        self.primary, self.replica = self.replica, self.primary
        await until(self._watched)

    async def _willing(self) -> bool:
        """The Sentinel hands over to whom it has looked at lately."""
        try:
            await self.ask("FAILOVER", NAME)
        except ResponseError:
            return False
        return True

    async def _watched(self) -> bool:
        told = await self.primary.ask("INFO", "replication")
        linked = told.get("slave0", {}).get("state") == "online"
        return linked and await self._trusted()

    async def _trusted(self) -> bool:
        """Whether the Sentinel would take the replica, had it to."""
        for row in await self.ask("REPLICAS", NAME):
            facts = dict(zip(row[::2], row[1::2], strict=True))
            return bool(facts[b"flags"] == b"slave" and facts[b"master-link-status"] == b"ok")
        return False

    def stop(self) -> None:
        """Ends all."""
        for process in (self.sentinel, self.primary.process, self.replica.process):
            process.stop()
