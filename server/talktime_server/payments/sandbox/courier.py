"""Sends the sandbox's webhooks, and again until they are taken."""

import asyncio
from dataclasses import dataclass

import httpx

from talktime_server.payments.sandbox.sides import Letter, Side

TRIES = 8
FIRST_WAIT_S = 0.05
TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook that was sent: to where, and what came back; 0 for no answer."""

    path: str
    event_id: str
    status: int


class Courier:
    """Carries letters to `target`, a URL without a path; nowhere while that is empty."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.deliveries: list[Delivery] = []
        self._client = httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False)
        self._under_way: set[asyncio.Task[None]] = set()

    def later(self, side: Side, letter: Letter, *, after_s: float) -> None:
        """Sends a letter beside everything else."""

        async def send() -> None:
            await asyncio.sleep(after_s)
            await self.carry(side, letter)

        task = asyncio.create_task(send())
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def carry(self, side: Side, letter: Letter) -> None:
        """Sends a letter until it is taken, a few times."""
        for tried in range(TRIES if self.target else 0):
            if 200 <= await self._post(side, letter) < 300:
                return
            await asyncio.sleep(FIRST_WAIT_S * 2**tried)

    async def arrived(self) -> None:
        """Waits until nothing is under way any more."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def drop(self) -> None:
        """Gives up what is still under way."""
        for task in list(self._under_way):
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def close(self) -> None:
        """Gives up what is under way, and closes the connections."""
        await self.drop()
        await self._client.aclose()

    async def _post(self, side: Side, letter: Letter) -> int:
        headers = side.signed(letter) | {"content-type": "application/json"}
        try:
            reply = await self._client.post(
                self.target + letter.path, content=letter.body, headers=headers
            )
            status = reply.status_code
        except httpx.HTTPError:
            status = 0
        self.deliveries.append(Delivery(letter.path, letter.event_id, status))
        return status
