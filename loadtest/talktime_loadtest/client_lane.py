"""A lane that is talktime's own AsyncClient: what a bridge gets that asks as the client's page says.

Each operation is a task of its own, as each caller of a bridge is; whether they share a stream is the
client's affair.
"""

import asyncio
import time
from typing import Any

from talktime import AsyncClient, Authorization, CallType, Extension, RetrySettings, Settlement
from talktime.errors import TalktimeError
from talktime.v1 import authorization_service_pb2 as pb
from talktime_loadtest.asking import FROM_NUMBER, Kind
from talktime_loadtest.lanes import Lane
from talktime_loadtest.orders import Orders, Protocol
from talktime_loadtest.work import Answer, Asked, Work

TIMEOUT_S = 2.0


class ClientLane(Lane):
    """One AsyncClient, asked by as many tasks as there is room for."""

    def __init__(self, orders: Orders, work: Work, room: int) -> None:
        super().__init__(orders, work, room)
        self._client = AsyncClient(
            f"{orders.host}:{orders.port}",
            orders.token,
            timeout_s=TIMEOUT_S,
            # What fails is to be seen.
            retry=RetrySettings(attempts=1),
            batching=orders.protocol is Protocol.CLIENT,
        )
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def ready(self) -> bool:
        """Always: the client keeps its own connection."""
        return not self.over

    async def open(self) -> None:
        """The client connects when it is first asked."""

    def send(self, asked_together: list[Asked]) -> None:
        """A task for each."""
        self.free -= len(asked_together)
        for asked in asked_together:
            task = self._loop.create_task(self._ask(asked))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def give_up(self) -> None:
        """Ends what is still under way, and hangs up."""
        await super().give_up()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.close()

    async def _ask(self, asked: Asked) -> None:
        try:
            answer = await self._answer(asked)
        except TalktimeError as error:
            self.failed(asked, error.code.name)
        except asyncio.CancelledError:
            self.failed(asked, "NO_ANSWER")
            raise
        else:
            self.free += 1
            self._work.took(asked, _judged(answer), time.perf_counter())
        self.refill()

    async def _answer(self, asked: Asked) -> Any:
        terms, client = self._orders.terms, self._client
        tenant_id, call_id = self._orders.tenants[asked.tenant], asked.call_id.decode()
        if asked.kind is Kind.SETTLE:
            return await client.settle(call_id, terms.duration_seconds, tenant_id=tenant_id)
        if asked.kind is Kind.EXTEND:
            return await client.extend(call_id, 1, terms.additional_seconds, tenant_id=tenant_id)
        return await client.authorize(
            asked.template.payer_id,
            CallType.USER_OUT,
            terms.to_number,
            call_id=call_id,
            from_number=FROM_NUMBER,
            requested_seconds=terms.requested_seconds,
            tenant_id=tenant_id,
        )


def _judged(answer: Authorization | Extension | Settlement) -> Answer:
    reason = getattr(answer, "reason", None)
    return Answer(
        pb.Outcome.Value(f"OUTCOME_{answer.outcome}"),
        answer.replayed,
        getattr(answer, "charged_micros", 0),
        pb.Reason.Value(f"REASON_{reason}") if reason else 0,
    )
