"""What the tests of clusters have in common: a script that counts, and calls without a pause."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from clusters import until
from ledger.world import World
from talktime_server.failure import Applied, StoreAway
from talktime_server.ledger import keys
from talktime_server.ledger.store import Script, Store

MINUTE = 60
COUNT = b"""
local answers = {}
for n, key in ipairs(KEYS) do answers[n] = { "ok", redis.call("INCR", key) } end
return answers
"""


def counting(store: Store) -> Script:
    """A script that counts how often it ran."""
    script = Script(store, "balance")
    script.text, script.sha = COUNT, hashlib.sha1(COUNT, usedforsecurity=False).hexdigest()
    return script


async def answers(world: World, call_id: str) -> bool:
    """Whether a call of a minute can be authorized."""
    with suppress(StoreAway):
        await world.authorize(call_id, MINUTE)
        return True
    return False


def mark(shard: int, name: str) -> str:
    return f"tt:{keys.tag(shard)}:test:{name}"


@dataclass(slots=True)
class Talk:
    """Calls of one tenant without a pause, and what came of them."""

    world: World
    word: str
    settled: list[str] = field(default_factory=list)
    failed: list[StoreAway] = field(default_factory=list)
    not_applied: list[str] = field(default_factory=list)

    async def run(self) -> None:
        n = 0
        while True:
            n += 1
            await self._call(f"{self.word}{n}")
            await asyncio.sleep(0)

    async def _call(self, call_id: str) -> None:
        try:
            await self.world.authorize(call_id, MINUTE)
        except StoreAway as failure:
            self.failed.append(failure)
            if failure.applied is Applied.NOT_APPLIED:
                self.not_applied.append(call_id)
            return
        with suppress(StoreAway):
            await self.world.settle(call_id, MINUTE)
            self.settled.append(call_id)

    async def come_through(self, count: int) -> None:
        """Waits until so many more calls are settled."""
        wanted = len(self.settled) + count

        async def enough() -> bool:
            return len(self.settled) >= wanted

        await until(enough)

    async def prove(self) -> None:
        """What was said not to have happened has not, and no money is lost."""
        for call_id in self.not_applied[:50]:
            assert not (await self.world.authorize(call_id, MINUTE)).replayed
            await self.world.release(call_id)
        for call_id in self.settled[-50:]:
            assert (await self.world.settle(call_id, MINUTE)).replayed
        proof = await self.world.prove()
        assert proof.conserved, proof


@asynccontextmanager
async def talking(world: World, word: str) -> AsyncIterator[Talk]:
    talk = Talk(world, word)
    await world.fund(1_000_000, f"fund-{word}")
    tasks = [asyncio.create_task(talk.run())]
    try:
        yield talk
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks), [task.exception() for task in tasks]
    await talk.prove()
