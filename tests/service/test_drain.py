"""The end of a service: what is under way is finished, what comes after is told so, and nothing is left running."""

import asyncio
import dataclasses

from service.load import clients_of
from service.running import Served, lives, until
from service.site import LONDON, MINUTE, Site
from talktime import AsyncClient, Authorization, TalktimeError

LONG_PAUSE_MS = 2_500
PAUSE_MS = 1_200  # the store's, so that calls are under way when the signal comes
UNDER_WAY, MOST_AFTERWARDS = 64, 1_000


async def asked(client: AsyncClient, call_id: str) -> Authorization | TalktimeError:
    """The answer, or why there is none."""
    try:
        return await client.authorize(
            "alice", "USER_OUT", LONDON, call_id=call_id, requested_seconds=60
        )
    except TalktimeError as error:
        error.call_id = call_id
        return error


async def test_a_service_told_to_end_finishes_its_calls_and_leaves_nothing_running(
    served: Served,
) -> None:
    """What was asked before the signal is answered; what comes after is answered, or was not done."""
    site = Site.open(served)
    site.fund(10_000 * MINUTE)
    family = served.family()
    assert len(family) >= 4
    async with clients_of(site) as clients:
        for client in clients:
            assert isinstance(await asked(client, f"warm-{id(client)}"), Authorization)
        with served.store() as store:
            store.client_pause(PAUSE_MS, all=False)
        before = [
            asyncio.create_task(asked(clients[n % len(clients)], f"before-{n}"))
            for n in range(UNDER_WAY)
        ]
        await asyncio.sleep(PAUSE_MS / 2_000)  # half of it, for the calls to be under way
        served.process.terminate()
        after = await ask_on(served, clients)
        answers = await asyncio.gather(*before)
    assert [a for a in answers if not isinstance(a, Authorization)] == []
    assert await asyncio.to_thread(served.process.wait, 20) == 0
    until(lambda: not any(map(lives, family)))
    await prove(served, site, [*answers, *after])


async def ask_on(served: Served, clients: list[AsyncClient]) -> list[Authorization | TalktimeError]:
    """Goes on asking until the service has ended."""
    found: list[Authorization | TalktimeError] = []
    while served.process.poll() is None and len(found) < MOST_AFTERWARDS:
        found.append(await asked(clients[len(found) % len(clients)], f"after-{len(found)}"))
        await asyncio.sleep(0.001)
    return found


async def prove(served: Served, old: Site, answers: list[Authorization | TalktimeError]) -> None:
    """The service started again gives the first answers, and has nothing of what was said to be not done."""
    served.start()
    old.hang_up()
    site = Site.of(served, old.tenant_id)
    first = {answer.call_id: answer for answer in answers}
    async with clients_of(site) as clients:
        for call_id, answer in first.items():
            again = await clients[0].authorize(
                "alice", "USER_OUT", LONDON, call_id=call_id, requested_seconds=60
            )
            assert again.authorized
            if isinstance(answer, Authorization):
                assert dataclasses.replace(again, replayed=False) == dataclasses.replace(
                    answer, replayed=False
                )
            elif answer.outcome == "NOT_APPLIED":
                assert not again.replayed
    site.close()


async def test_emergency_calls_answered_before_the_end_are_recorded(served: Served) -> None:
    """semantics 73: the records wait for the store behind the answers, and the end waits for the records."""
    site = Site.open(served)
    ids = [f"help-{n}" for n in range(200)]
    async with clients_of(site) as clients:
        for client in clients:
            await client.authorize("alice", "USER_OUT", "112", call_id="help-0")
        with served.store() as store:
            store.client_pause(LONG_PAUSE_MS, all=False)
        asked = (
            clients[n % len(clients)].authorize("alice", "USER_OUT", "112", call_id=call_id)
            for n, call_id in enumerate(ids)
        )
        assert all(call.authorized for call in await asyncio.gather(*asked))
    served.process.terminate()
    assert await asyncio.to_thread(served.process.wait, 20) == 0
    assert "Error" not in served.log_path.read_text()
    site.hang_up()
    served.start()
    again = Site.of(served, site.tenant_id)
    assert {entry.reference_id for entry in again.entries()} == set(ids)
    again.close()
