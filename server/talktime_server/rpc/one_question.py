"""Streams with one question and many answers: reading the question, and telling the answers at the caller's pace.

What the edge does for a unary call (decoding, limits, the caller's deadline) is done here for these; a drain ends them with
UNAVAILABLE, so that the caller asks another process.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

from google.protobuf.message import Message

from talktime_server.failure import Applied, Failure, Invalid, TooLate, TooMuch
from talktime_server.rpc.deadline import too_late
from talktime_server.rpc.decoding import decode
from talktime_server.rpc.shapes import ADMIN_BODY_BYTES, Draining, Identity, Visit

# How long a caller may take to send its question after its headers.
QUESTION_LIMIT_S = 5.0

# From a decoded request and who asks to the messages that answer it. It may raise Failure.
Answers = Callable[[Any, Identity], AsyncGenerator[Message, None]]


class OneQuestion:
    """One method: how its request is read, and what answers it."""

    def __init__(self, request: type[Message], answers: Answers) -> None:
        self._request = request
        self._answers = answers
        self._names_tenant = "tenant_id" in request.DESCRIPTOR.fields_by_name

    async def serve(
        self, messages: AsyncIterator[bytes], visit: Visit
    ) -> AsyncGenerator[bytes, None]:
        """Answers one stream until all is told, its caller has gone, its deadline or the drain."""
        request = decode(self._request, await _question(messages))
        telling = _Telling(messages, visit)
        with visit.counted(self._tenant_of(request, visit.identity)):
            telling.begin(self._answers(request, visit.identity))
            try:
                while (answer := await telling.next()) is not None:
                    yield answer
                    telling.taken()
            finally:
                await telling.close()

    def _tenant_of(self, request: Any, identity: Identity) -> str:
        """As for unary calls: a missing one is the method's to refuse."""
        asked: str = request.tenant_id if self._names_tenant else ""
        return identity.tenant(asked) if asked else identity.only_tenant


async def _question(messages: AsyncIterator[bytes]) -> bytes:
    try:
        async with asyncio.timeout(QUESTION_LIMIT_S):
            body = await anext(aiter(messages), None)
    except TimeoutError:
        text = f"no message came in {QUESTION_LIMIT_S:g} s"
        raise TooLate("MESSAGE_LATE", text) from None
    if body is None:
        raise Invalid("MISSING_MESSAGE", "the call ended without a message")
    if len(body) > ADMIN_BODY_BYTES:
        raise TooMuch("MESSAGE_TOO_LARGE", f"the message is over {ADMIN_BODY_BYTES} bytes")
    return body


class _Telling:
    """The answers of one stream: made by a task of their own, one at a time, until something ends it."""

    def __init__(self, messages: AsyncIterator[bytes], visit: Visit) -> None:
        self._messages = messages
        self._visit = visit
        self._told: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._end: Failure | None = None
        self._making: asyncio.Task[None]
        self._watching: list[asyncio.Task[None]] = []
        self._deadline: asyncio.TimerHandle | None = None

    def begin(self, answers: AsyncGenerator[Message, None]) -> None:
        self._making = asyncio.create_task(self._make(answers))
        self._making.add_done_callback(lambda _: self._told.put_nowait(None))
        self._watching = [
            asyncio.create_task(self._watch_drain()),
            asyncio.create_task(self._watch_caller()),
        ]
        if self._visit.timeout_s is not None:
            loop, late = asyncio.get_running_loop(), too_late(Applied.NOT_APPLIED)
            self._deadline = loop.call_later(self._visit.timeout_s, self._stop, late)

    async def next(self) -> bytes | None:
        """The next answer; None when all is told. Raises what ended it earlier."""
        answer = await self._told.get()
        if self._end:
            raise self._end
        if answer is None:
            self._making.result()
        return answer

    def taken(self) -> None:
        """The answer was written out: now the next one may be made."""
        self._told.task_done()

    async def close(self) -> None:
        """Ends whatever still runs, and waits for it: nothing of the stream is left behind."""
        if self._deadline:
            self._deadline.cancel()
        tasks = (self._making, *self._watching)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _make(self, answers: AsyncGenerator[Message, None]) -> None:
        async with aclosing(answers):
            async for answer in answers:
                self._told.put_nowait(answer.SerializeToString())
                await self._told.join()

    async def _watch_drain(self) -> None:
        await self._visit.draining.wait()
        self._stop(Draining.now())

    async def _watch_caller(self) -> None:
        """A caller that goes on talking breaks the contract; unread, its messages would hide that it goes away."""
        try:
            async for _ in self._messages:
                text = "the call has more than one message; this method takes one"
                self._stop(Invalid("TOO_MANY_MESSAGES", text))
                return
        except Failure as failure:
            self._stop(failure)

    def _stop(self, end: Failure) -> None:
        if not self._making.done():
            self._end = self._end or end
            self._making.cancel()
