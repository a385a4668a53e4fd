"""What an admin changes in one process refuses the very next call in every other one, while calls go on (semantics 67, 87)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from service.load import answered, clients_of
from service.site import AT_HOME, LONDON, Site
from talktime import AsyncClient, Client

CALLERS = 8
ROUNDS = 5


async def _one_call(client: AsyncClient, call_id: str) -> None:
    await answered(lambda: client.authorize("bob", "USER_OUT", AT_HOME, call_id=call_id))
    await answered(lambda: client.settle(call_id, 30))


@asynccontextmanager
async def load_on(site: Site) -> AsyncIterator[list[int]]:
    """Callers that authorize and settle without a pause; gives the number of calls made so far."""
    made = [0]

    async def talk(client: AsyncClient, n: int) -> None:
        while True:
            made[0] += 1
            await _one_call(client, f"load-{n}-{made[0]}")

    async with clients_of(site) as clients:
        talkers = [asyncio.create_task(talk(clients[n % 4], n)) for n in range(CALLERS)]
        try:
            yield made
        finally:
            for talker in talkers:
                talker.cancel()
            results = await asyncio.gather(*talkers, return_exceptions=True)
            assert {type(result) for result in results} == {asyncio.CancelledError}


def remove_licence(site: Site) -> None:
    site.operator.assign_licenses("alice", remove=["MCOPSTN1"])


def block(site: Site) -> None:
    site.operator.block_payer("alice", "stolen phone")


def tighten_policy(site: Site) -> None:
    site.put_payer("alice", dial_out_policy="DialoutCPCandPSTNDomestic")


def tighten_default_policy(site: Site) -> None:
    site.set(dial_out_policy="DialoutCPCandPSTNDomestic")


def bar_prefix(site: Site) -> None:
    site.set(blocked_prefixes=("44",))


def restore(site: Site) -> None:
    site.set()
    site.operator.unblock_payer("alice")
    site.put_payer("alice")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (remove_licence, "NO_LICENSE"),
        (block, "PAYER_BLOCKED"),
        (tighten_policy, "POLICY"),
        (tighten_default_policy, "POLICY"),
        (bar_prefix, "POLICY"),
    ],
)
async def test_a_change_is_seen_by_the_next_call_in_every_process_under_load(
    site: Site, crowd: list[Client], change: Callable[[Site], None], reason: str
) -> None:
    site.put_payer("bob")

    def reasons() -> set[str | None]:
        return {
            client.authorize(
                "alice", "USER_OUT", LONDON, tenant_id=site.tenant_id, requested_seconds=60
            ).reason
            for client in crowd
        }

    def aside(work: Callable[[], object]) -> Awaitable[object]:
        return asyncio.to_thread(work)

    async with load_on(site) as made:
        for _ in range(ROUNDS):
            await aside(lambda: restore(site))
            assert await aside(reasons) == {None}
            before = made[0]
            await aside(lambda: change(site))
            assert await aside(reasons) == {reason}
            while made[0] == before:  # nobody is in anybody's way
                await asyncio.sleep(0.001)
