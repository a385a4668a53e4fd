"""Many callers at once, in processes of their own: no cent is spent twice, no id has two effects."""

import asyncio
import dataclasses
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

from service.load import clients_of
from service.site import LONDON, MINUTE, Site
from talktime import AsyncClient

MakeSite = Callable[..., Site]
PROCESSES, CALLERS_EACH, PAID_FOR = 4, 25, 7
T = TypeVar("T")

# What a caller's process runs: it connects, says so, waits for the word, and asks all at once.
CALLERS = """
import asyncio, json, sys
from talktime import AsyncClient

async def main(address, token, tenant, number, first, count):
    async with AsyncClient(address, token, tenant_id=tenant, timeout_s=2.0) as client:
        await client.quote("alice", "USER_OUT", number)
        print("ready", flush=True)
        sys.stdin.readline()
        calls = await asyncio.gather(*(
            client.authorize("alice", "USER_OUT", number, call_id=f"leg-{n}", requested_seconds=60)
            for n in range(int(first), int(first) + int(count))
        ))
        print(json.dumps([[call.outcome, call.reason] for call in calls]))

asyncio.run(main(*json.loads(sys.stdin.readline())))
"""


def start_callers(site: Site, first: int) -> "subprocess.Popen[str]":
    """A process with callers of its own. Its token comes by its input: a command line is seen by everybody."""
    process = subprocess.Popen(
        [sys.executable, "-c", CALLERS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    service = site.service
    who = [service.address, service.router, site.tenant_id, LONDON, first, CALLERS_EACH]
    assert process.stdin is not None
    process.stdin.write(json.dumps(who) + "\n")
    process.stdin.flush()
    return process


def test_a_hundred_callers_with_credit_for_seven_are_seven(make_site: MakeSite) -> None:
    """semantics 30"""
    site = make_site()
    site.fund(PAID_FOR * MINUTE + MINUTE - 1)
    processes = [start_callers(site, n * CALLERS_EACH) for n in range(PROCESSES)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [answer for process in processes for answer in json.loads(process.communicate()[0])]
    assert [process.returncode for process in processes] == [0] * PROCESSES
    assert len(answers) == PROCESSES * CALLERS_EACH
    assert answers.count(["AUTHORIZED", None]) == PAID_FOR
    assert answers.count(["REFUSED", "INSUFFICIENT_CREDITS"]) == len(answers) - PAID_FOR
    assert site.sums() == (PAID_FOR * MINUTE + MINUTE - 1, PAID_FOR * MINUTE)


async def at_once(site: Site, ask: Callable[[AsyncClient], Awaitable[T]]) -> list[T]:
    """Asks 64 times at once, over several connections."""
    async with clients_of(site) as clients:
        return list(await asyncio.gather(*(ask(clients[n % len(clients)]) for n in range(64))))


def one_effect(answers: list[T]) -> bool:
    """Whether all but one are replays of that one."""
    replayed = [answer.replayed for answer in answers]  # type: ignore[attr-defined]  # every answer of a write has it
    same = {repr(dataclasses.replace(answer, replayed=False)) for answer in answers}  # type: ignore[type-var]  # likewise
    return sorted(replayed) == [False] + [True] * 63 and len(same) == 1


async def test_the_same_id_sixty_four_times_at_once_has_one_effect(site: Site) -> None:
    """bad input B45, semantics 1, 12, 20, 23: for each operation."""
    authorized = await at_once(
        site,
        lambda client: client.authorize(
            "alice", "USER_OUT", LONDON, call_id="leg-1", requested_seconds=60
        ),
    )
    assert one_effect(authorized)
    assert site.sums() == (10_000_000, MINUTE)
    extended = await at_once(site, lambda client: client.extend("leg-1", 1, 60))
    assert one_effect(extended)
    assert site.sums() == (10_000_000, 2 * MINUTE)
    settled = await at_once(site, lambda client: client.settle("leg-1", 100))
    assert one_effect(settled)
    assert site.sums() == (10_000_000 - 2 * MINUTE, 0)
    site.call(call_id="leg-2")
    released = await at_once(site, lambda client: client.release("leg-2"))
    assert one_effect(released)
    assert site.kinds() == ["FUND", "HOLD", "HOLD", "SETTLE", "HOLD", "RELEASE"]


async def test_the_same_funding_sixty_four_times_at_once_is_added_once(site: Site) -> None:
    """semantics 44"""
    async with AsyncClient(
        site.service.address, site.service.operator, tenant_id=site.tenant_id
    ) as operator:
        answers = await asyncio.gather(*(operator.add_funds("invoice-1", 7) for _ in range(64)))
    assert one_effect(list(answers))
    assert site.sums() == (10_000_007, 0)
