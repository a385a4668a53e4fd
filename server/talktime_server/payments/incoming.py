"""What providers call back: `POST /webhooks/stripe` and `POST /webhooks/billing` (reliability.md B80, C23).

A webhook is a hint that somebody signed. Its signature is checked over the raw body, within 300 s; then the charge is
read back from the provider, and what the provider says now is handed on. The answer is 200 only once that was taken:
anything else makes the provider send again.

| request | answer |
| --- | --- |
| signed, and taken | 200 |
| signed, and taken before; or not about a charge of ours | 200, and nothing happens |
| empty, or signed and not readable | 400 |
| not signed, altered, older or newer than 300 s | 401 |
| slower than ten seconds | 408 |
| over 64 KiB | 413 |
| signed, and could not be taken now | 503 |
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from talktime_server.failure import Failure
from talktime_server.payments.errors import BadSignature, UnreadableEvent
from talktime_server.payments.gateway import Event, Gateway

MAX_BODY_BYTES = 64 * 1024
BODY_TIMEOUT_S = 10.0
REMEMBERED = 100_000
REMEMBERED_S = 24 * 3600.0
OnEvent = Callable[[Event], Awaitable[None]]

_log = structlog.get_logger("talktime.payments.incoming")


class Remembered:
    """The ids of the events that were taken, for a day and no more than a hundred thousand.

    They spare work only and may be lost with the process: what takes an event does so once for each charge.
    """

    def __init__(self, *, ticks: Callable[[], float] = time.monotonic) -> None:
        self._ticks = ticks
        self._until_s: OrderedDict[str, float] = OrderedDict()

    def __contains__(self, event_id: str) -> bool:
        return self._until_s.get(event_id, 0.0) > self._ticks()

    def add(self, event_id: str) -> None:
        """Remembers an event that was taken."""
        self._until_s[event_id] = self._ticks() + REMEMBERED_S
        self._until_s.move_to_end(event_id)
        if len(self._until_s) > REMEMBERED:
            self._until_s.popitem(last=False)


class _Refused(Exception):
    """A request that ends with this status before anything was read in it."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Incoming:
    """The webhooks of every gateway. `on_event` is given each event until it returns; a Failure asks for it again.

    It may be given the same event twice, and events of one charge in any order.
    """

    def __init__(
        self,
        gateways: Mapping[str, Gateway],
        on_event: OnEvent,
        *,
        remembered: Remembered | None = None,
        body_timeout_s: float = BODY_TIMEOUT_S,
    ) -> None:
        self._gateways = dict(gateways)
        self._on_event = on_event
        self._remembered = remembered or Remembered()
        self._body_timeout_s = body_timeout_s

    def routes(self) -> list[Route]:
        """One for each gateway, for a Starlette application."""
        return [
            Route(f"/webhooks/{name}", partial(self._receive, gateway), methods=["POST"])
            for name, gateway in self._gateways.items()
        ]

    async def _receive(self, gateway: Gateway, request: Request) -> Response:
        try:
            return Response(status_code=await self._status(gateway, request))
        except _Refused as refused:
            return Response(status_code=refused.status)
        except Exception:
            # A bug of ours: the provider keeps the event and sends it again.
            _log.exception("webhook_broke", gateway=gateway.name)
            return Response(status_code=503)

    async def _status(self, gateway: Gateway, request: Request) -> int:
        body = await self._body(request)
        try:
            event = gateway.read_event(request.headers, body)
        except BadSignature:
            return 401
        except UnreadableEvent as failure:
            _log.error("webhook_unreadable", gateway=gateway.name, reason=failure.reason)
            return 400
        return await self._take(gateway, event) if event else 200

    async def _take(self, gateway: Gateway, event: Event) -> int:
        event_id = f"{gateway.name} {event.event_id}"
        if event_id in self._remembered:
            return 200
        try:
            if confirmed := await gateway.confirm(event):
                await self._on_event(confirmed)
        except Failure as failure:
            _log.warning(
                "webhook_not_taken",
                gateway=gateway.name,
                charge_id=event.charge_id,
                reason=failure.reason,
            )
            return 503
        self._remembered.add(event_id)
        return 200

    async def _body(self, request: Request) -> bytes:
        try:
            async with asyncio.timeout(self._body_timeout_s):
                body = await _limited(request)
        except TimeoutError:
            raise _Refused(408) from None
        except ClientDisconnect:
            raise _Refused(400) from None
        if not body:
            raise _Refused(400)
        return body


async def _limited(request: Request) -> bytes:
    """The body; what says that it is too long is not read at all."""
    said = request.headers.get("content-length", "0")
    if not said.isdigit() or int(said) > MAX_BODY_BYTES:
        raise _Refused(413)
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise _Refused(413)
    return body
