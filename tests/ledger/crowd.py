"""Callers in processes of their own, each with its own event loop and connections, as on several machines.

Run as a program, it is one of them: it reads rounds from its input, a line of JSON each, and writes what was answered.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ledger.story import SOURCES
from ledger.world import World, open_world
from talktime_server.failure import Failure
from talktime_server.ledger.operations import Judge, Outcome

PROCESSES = 4
STOP_LIMIT_S = 10.0
READY = "ready"

# The verb, the call's id, and a number where the verb has one. After an authorize may stand what may pay, as stories name it.
Ask = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Said:
    """What one caller was answered: the whole answer as text, or the reason of its failure."""

    text: str
    replayed: bool = False
    failure: str = ""


class Crowd:
    """Some processes that ask at the same time."""

    def __init__(self, url: str) -> None:
        places = os.pathsep.join(path for path in sys.path if path)
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-m", "ledger.crowd", url],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ | {"PYTHONPATH": places},
                text=True,
            )
            for _ in range(PROCESSES)
        ]
        assert [self._line(process) for process in self._processes] == [READY] * PROCESSES

    def ask(
        self, tenant_id: str, asks: Sequence[Sequence[Ask]], *, at_once: int
    ) -> list[list[Said]]:
        """Gives each process its list, lets them all go, and waits; each has `at_once` of its own on the way."""
        assert len(asks) == PROCESSES
        for process, own in zip(self._processes, asks, strict=True):
            assert process.stdin is not None
            line = {"tenant_id": tenant_id, "asks": list(own), "at_once": at_once}
            process.stdin.write(json.dumps(line) + "\n")
            process.stdin.flush()
        return [
            [Said(*said) for said in json.loads(self._line(process))] for process in self._processes
        ]

    @staticmethod
    def _line(process: "subprocess.Popen[str]") -> str:
        assert process.stdout is not None
        return process.stdout.readline().strip()

    def leave(self) -> None:
        for process in self._processes:
            process.communicate(timeout=STOP_LIMIT_S)


async def one(world: World, ask: Ask) -> Said:
    """One operation and what came of it."""
    verb, call_id, number = ask
    try:
        if verb == "expire":
            await world.ledger.expire(world.tenant, [call_id])
            return Said("")
        outcome = await _outcome(world, verb, call_id, number)
    except Failure as failure:
        return Said("", failure=failure.reason)
    assert isinstance(outcome, Outcome)
    return Said(repr(outcome.call), outcome.replayed)


async def _outcome(world: World, verb: str, call_id: str, number: int) -> Outcome | Judge:
    verb, _, sources = verb.partition(":")
    match verb:
        case "authorize":
            return await world.authorize(call_id, number, sources=SOURCES[sources or "CREDITS"])
        case "extend":
            return await world.extend(call_id, 1, number)
        case "settle":
            return await world.settle(call_id, number)
        case "bill":
            return await world.settle(call_id, number, world.unreserved(asked=number))
        case _:
            return await world.release(call_id)


async def play(url: str, tenant_id: str, asks: list[Ask], at_once: int) -> list[Said]:
    """One round, a few at a time and in order."""
    said: list[Said] = []
    async with open_world(url, tenant_id) as world:
        for start in range(0, len(asks), at_once):
            few = asks[start : start + at_once]
            said += await asyncio.gather(*(one(world, ask) for ask in few))
    return said


def main(url: str) -> None:
    write(READY)
    for line in sys.stdin:
        asked: dict[str, Any] = json.loads(line)
        said = asyncio.run(play(url, asked["tenant_id"], asked["asks"], asked["at_once"]))
        write(json.dumps([(each.text, each.replayed, each.failure) for each in said]))


def write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
