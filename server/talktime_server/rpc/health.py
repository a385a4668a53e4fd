"""Health as gRPC knows it, for load balancers and orchestrators: is the process alive, and can it serve.

The empty service name asks whether the process is alive. A service's name asks whether it can serve: the store took a
write within the last two seconds and the process is not about to stop. Coming back takes a second of good news, so that a
store that comes and goes does not make every balancer flap with it.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable

from grpc_health.v1.health_pb2 import (  # type: ignore[import-untyped]  # ships no types
    HealthCheckRequest,
    HealthCheckResponse,
)

from talktime_server.failure import NotFound, TooMuch
from talktime_server.rpc.decoding import decode
from talktime_server.rpc.limiter import RETRY_AFTER_S
from talktime_server.rpc.shapes import EVERY_ROLE, Identity, Lane, Method, Stream, Visit

SERVICES = frozenset({"talktime.v1.AuthorizationService", "talktime.v1.AccountService"})
STORE_PATIENCE_S = 2.0
RETURN_AFTER_S = 1.0
WATCH_EVERY_S = 0.2
MAX_WATCHERS = 64

_UNKNOWN: int = HealthCheckResponse.SERVICE_UNKNOWN
_SERVING: int = HealthCheckResponse.SERVING
_NOT_SERVING: int = HealthCheckResponse.NOT_SERVING


class Health:
    """Whether this process can serve. The store's prober tells it what it saw, a few times a second."""

    def __init__(self, ticks: Callable[[], float] = time.monotonic) -> None:
        self._ticks = ticks
        self._draining = False
        self._serving = False
        self._last_good_s: float | None = None
        self._good_since_s: float | None = None
        self._watchers = 0

    def set_store_writable(self, writable: bool) -> None:
        """Notes whether the store took a write just now."""
        now_s = self._ticks()
        self._look(now_s)
        if not writable:
            self._good_since_s = None
            return
        if self._good_since_s is None:
            # The first good news of a process needs no proof; later it must last.
            first = self._last_good_s is None
            self._good_since_s = now_s - RETURN_AFTER_S if first else now_s
        self._last_good_s = now_s
        self._look(now_s)

    def drain(self) -> None:
        """Says from now on that this process cannot serve; there is no way back."""
        self._draining = True

    @property
    def serving(self) -> bool:
        """Whether the process can serve now."""
        self._look(self._ticks())
        return self._serving and not self._draining

    def _look(self, now_s: float) -> None:
        """Silence counts as bad news, and it breaks a row of good news too."""
        if self._last_good_s is None or now_s - self._last_good_s > STORE_PATIENCE_S:
            self._serving, self._good_since_s = False, None
        elif self._good_since_s is not None and now_s - self._good_since_s >= RETURN_AFTER_S:
            self._serving = True

    def method(self) -> Method:
        """The row of Check for the edge's table."""
        path = "/grpc.health.v1.Health/Check"
        return Method(
            path,
            HealthCheckRequest,
            EVERY_ROLE,
            self._check,
            lane=Lane.FREE,
            writes=False,
            anonymous=True,
        )

    def stream(self) -> Stream:
        """The row of Watch for the edge's table."""
        return Stream("/grpc.health.v1.Health/Watch", EVERY_ROLE, self._watch, anonymous=True)

    def status(self, service: str) -> int:
        """The status of a service by name, as Watch shows it."""
        if not service:
            return _SERVING
        if service not in SERVICES:
            return _UNKNOWN
        return _SERVING if self.serving else _NOT_SERVING

    async def _check(
        self, request: HealthCheckRequest, _identity: Identity, _remaining_s: float
    ) -> HealthCheckResponse:
        status = self.status(request.service)
        if status == _UNKNOWN:
            raise NotFound("UNKNOWN_SERVICE", "there is no such service")
        return HealthCheckResponse(status=status)

    async def _watch(
        self, messages: AsyncIterator[bytes], visit: Visit
    ) -> AsyncGenerator[bytes, None]:
        """Shows the status now and at every change, until the watcher goes or the process stops."""
        if self._watchers >= MAX_WATCHERS:
            raise TooMuch("OVERLOADED", "too many watch health", retry_after_s=RETRY_AFTER_S)
        self._watchers += 1
        try:
            body = await anext(aiter(messages), b"")
            service = decode(HealthCheckRequest, body).service
            shown = None
            while not visit.draining.is_set():
                if (status := self.status(service)) != shown:
                    yield HealthCheckResponse(status=status).SerializeToString()
                    shown = status
                await _pause(visit.draining)
            yield HealthCheckResponse(status=self.status(service)).SerializeToString()
        finally:
            self._watchers -= 1


async def _pause(draining: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(draining.wait(), WATCH_EVERY_S)
