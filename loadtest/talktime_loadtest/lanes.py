"""The lanes that operations travel on: one connection each, for unary calls or for a stream of messages.

A lane that breaks counts its operations as failed, and opens again for as long as the load lasts.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from google.protobuf.message import DecodeError

from talktime.v1 import authorization_service_pb2 as pb
from talktime_loadtest.asking import EXCHANGE, FIRST_MARK, MARKS, RPC, SERVICE, Kind, marks
from talktime_loadtest.headers import header_block
from talktime_loadtest.orders import Orders, Protocol
from talktime_loadtest.wire import LOST, OK, STATUS_NAMES, WRONG_ANSWER, Call, Wire
from talktime_loadtest.work import Asked, Work, answer_of_json

TIMEOUT = "2000m"
REOPEN_AFTER_S = 0.05
REPEAT_AFTER_S = 0.05
_FIELDS = {
    Kind.AUTHORIZE: "authorize",
    Kind.REFUSE: "authorize",
    Kind.EXTEND: "extend",
    Kind.SETTLE: "settle",
}
_ANSWERS: dict[str, Any] = {
    "Authorize": pb.AuthorizeResponse,
    "Extend": pb.ExtendResponse,
    "Settle": pb.SettleResponse,
}


class Lane:
    """What both kinds of lanes are: a connection that is kept, room for operations, and where failures go.

    `refill` is called whenever there may be room again.
    """

    def __init__(self, orders: Orders, work: Work, room: int) -> None:
        self.free = self._room = room
        self.refill: Callable[[], None] = lambda: None
        self.over = False
        self._orders = orders
        self._work = work
        self._loop = asyncio.get_running_loop()
        self._opening: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether operations can be sent now."""
        raise NotImplementedError

    @property
    def in_flight(self) -> int:
        """Operations without their answer yet."""
        return self._room - self.free

    async def open(self) -> None:
        """Connects."""
        raise NotImplementedError

    def send(self, asked_together: list[Asked]) -> None:
        """Sends operations; there is room for them."""
        raise NotImplementedError

    async def give_up(self) -> None:
        """Counts what was never answered, and hangs up; nothing is sent any more."""
        self.over = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)

    def reopen(self) -> None:
        """Connects again, as often as it takes; nothing when that is under way or the load is over."""
        if not self.over and (self._opening is None or self._opening.done()):
            self._opening = self._loop.create_task(self._keep_opening())

    async def _keep_opening(self) -> None:
        while not self.over:
            await asyncio.sleep(REOPEN_AFTER_S)
            try:
                await self.open()
            except OSError:
                continue
            self.refill()
            return

    def failed(self, asked: Asked, status: str) -> None:
        """Counts an operation's failure, and asks again later if that is wanted."""
        self.free += 1
        if self._work.failed(asked, status):
            self._work.resting += 1
            self._loop.call_later(REPEAT_AFTER_S, self._repeat, asked)

    def _repeat(self, asked: Asked) -> None:
        self._work.resting -= 1
        self._work.again(asked)
        self.refill()

    def _headers(self, path: str) -> bytes:
        orders = self._orders
        # As a client that waits as long as the service allows; a stream has no end in time.
        fields = {} if path == EXCHANGE else {"grpc-timeout": TIMEOUT}
        if orders.token:
            fields["authorization"] = f"Bearer {orders.token}"
        if orders.protocol is Protocol.JSON:
            fields["content-type"] = "application/json"
        return header_block(path, f"{orders.host}:{orders.port}", fields)


class ExchangeLane(Lane):
    """One long stream; what is sent together is one message."""

    def __init__(self, orders: Orders, work: Work, room: int) -> None:
        super().__init__(orders, work, min(room, MARKS))
        self._marks = marks()
        self._place = 0
        self._flight: dict[int, Asked] = {}
        self._wire: Wire | None = None
        self._call: Call | None = None

    async def open(self) -> None:
        """Connects, and opens the stream."""
        _, self._wire = await self._loop.create_connection(
            lambda: Wire(self._headers(EXCHANGE), self._ended, read=self._read),
            self._orders.host,
            self._orders.port,
        )
        self._call = self._wire.stream(None, self._took)

    @property
    def ready(self) -> bool:
        """Whether messages can be sent now."""
        return self._call is not None

    def send(self, asked_together: list[Asked]) -> None:
        """Sends a message."""
        assert self._wire is not None
        assert self._call is not None
        parts: list[bytes] = []
        flight, written, place = self._flight, self._marks, self._place
        for asked in asked_together:
            flight[FIRST_MARK + place] = asked
            template = asked.template
            parts += (template.head, written[place], template.body, asked.call_id)
            place = place + 1 if place + 1 < MARKS else 0
        self._place = place
        self.free -= len(asked_together)
        self._wire.send(self._call, b"".join(parts))

    async def give_up(self) -> None:
        """As every lane, with its connection."""
        await super().give_up()
        self._lose("NO_ANSWER")
        if self._wire:
            self._wire.close()

    def _read(self) -> None:
        if self._call is not None:
            self.refill()

    def _took(self, message: bytes) -> None:
        now = time.perf_counter()
        flight, work = self._flight, self._work
        try:
            results = pb.ExchangeResponse.FromString(message).results
        except DecodeError:
            self._lose(WRONG_ANSWER)
            return
        for result in results:
            asked = flight.pop(result.correlation_id, None)
            if asked is None:
                work.count_error(WRONG_ANSWER)
                continue
            which = result.WhichOneof("result")
            if which == _FIELDS[asked.kind]:
                self.free += 1
                work.took(asked, getattr(result, which), now)
            else:
                code = result.error.code if which == "error" else -1
                known = 0 < code < len(STATUS_NAMES)
                self.failed(asked, STATUS_NAMES[code] if known else WRONG_ANSWER)

    def _ended(self, call: Call) -> None:
        """The stream is over, which it should not be yet."""
        self._call = None
        if self.over:
            return
        self._lose(call.status if call.status != OK else LOST)
        if self._wire:
            self._wire.close()
        self.reopen()

    def _lose(self, status: str) -> None:
        lost, self._flight = self._flight, {}
        for asked in lost.values():
            self.failed(asked, status)


class UnaryLane(Lane):
    """One connection for unary calls, as gRPC or as JSON: what is sent together leaves in one write, and is answered one by one."""

    def __init__(self, orders: Orders, work: Work, room: int) -> None:
        super().__init__(orders, work, room)
        self._json = orders.protocol is Protocol.JSON
        self._blocks = {kind: self._headers(f"{SERVICE}/{RPC[kind]}") for kind in Kind}
        self._wire: Wire | None = None

    @property
    def ready(self) -> bool:
        """Whether calls can be sent now."""
        return self._wire is not None and not self._wire.closed

    async def open(self) -> None:
        """Connects."""
        _, self._wire = await self._loop.create_connection(
            lambda: Wire(b"", self._ended, read=self._read, framed=not self._json),
            self._orders.host,
            self._orders.port,
        )

    def send(self, asked_together: list[Asked]) -> None:
        """Starts calls."""
        assert self._wire is not None
        self.free -= len(asked_together)
        for asked in asked_together:
            template, call_id = asked.template, asked.call_id
            body = template.request_json(call_id) if self._json else template.fixed + call_id
            self._wire.call(asked, body, self._blocks[asked.kind])

    async def give_up(self) -> None:
        """As every lane, with its connection."""
        await super().give_up()
        if self._wire:
            self._wire.lose("NO_ANSWER")
            self._wire.close()

    def _read(self) -> None:
        if self.ready:
            self.refill()
        else:
            self.reopen()

    def _ended(self, call: Call) -> None:
        asked: Any = call.mark
        if call.status != OK:
            self.failed(asked, call.status)
            return
        answer = self._read_answer(asked, call.body)
        if answer is None:
            self.failed(asked, WRONG_ANSWER)
            return
        self.free += 1
        self._work.took(asked, answer, time.perf_counter())

    def _read_answer(self, asked: Asked, body: bytes) -> Any:
        kind = _ANSWERS[RPC[asked.kind]]
        try:
            return answer_of_json(body) if self._json else kind.FromString(body[5:])
        except (DecodeError, ValueError):
            return None
