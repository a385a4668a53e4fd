"""Closed loop: a given number of calls in flight, each followed by the next; latency from the moment of sending.

It tells peak throughput and the latency of a call alone. It hides stalls from latency, as a closed
loop does: when the server stops, nobody sends.
"""

import asyncio
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from talktime.v1 import authorization_service_pb2 as pb
from talktime_loadtest.wire import Wire, header_block

AUTHORIZE = "/talktime.v1.AuthorizationService/Authorize"
AUTHORIZED = b"\x08\x01"  # outcome AUTHORIZED is the first field of an answer


@dataclass(frozen=True, slots=True)
class Load:
    """What to send, where, and how much of it at a time."""

    host: str
    port: int
    token: str
    tenants: tuple[str, ...]
    payer_id: str
    to_number: str
    in_flight: int
    seconds: float
    warm_up_seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class Figures:
    """What came of it. Latencies in microseconds."""

    calls: int
    failed: int
    per_second: float
    p50_us: float
    p99_us: float
    p999_us: float


def authorize_messages(load: Load) -> Callable[[int], bytes]:
    """The request of each call: its id is new, all else the same."""
    run = uuid.uuid4().hex[:12]
    kinds = []
    for tenant_id in load.tenants:
        request = pb.AuthorizeRequest(
            tenant_id=tenant_id,
            payer_id=load.payer_id,
            call_type=pb.CALL_TYPE_USER_OUT,
            from_number="+14255550100",
            to_number=load.to_number,
            requested_seconds=600,
        )
        kinds.append(request.SerializeToString())
    # A field may stand anywhere in a message, so the id is put behind what never changes.
    return lambda call: kinds[call % len(kinds)] + b"\x12\x18" + f"{run}{call:012}".encode()


class _Run:
    def __init__(self, load: Load) -> None:
        self._load = load
        self._message = authorize_messages(load)
        self._sent_at: dict[int, float] = {}
        self._next = 0
        self._latencies: list[float] = []
        self._failed = 0
        self._counting = False
        self._over = False
        self._wire: Wire | None = None

    async def go(self) -> Figures:
        load = self._load
        block = header_block(
            AUTHORIZE, f"{load.host}:{load.port}", {"authorization": f"Bearer {load.token}"}
        )
        loop = asyncio.get_running_loop()
        _, self._wire = await loop.create_connection(
            lambda: Wire(block, self._ended), load.host, load.port
        )
        for _ in range(load.in_flight):
            self._send()
        await asyncio.sleep(load.warm_up_seconds)
        self._counting, began = True, time.perf_counter()
        await asyncio.sleep(load.seconds)
        self._counting, took = False, time.perf_counter() - began
        self._over = True
        self._wire.close()
        return self._figures(took)

    def _send(self) -> None:
        assert self._wire is not None
        call, self._next = self._next, self._next + 1
        self._sent_at[call] = time.perf_counter()
        self._wire.send(call, self._message(call))

    def _ended(self, call: int, _: float, message: bytes) -> None:
        latency = time.perf_counter() - self._sent_at.pop(call)
        if self._counting:
            self._latencies.append(latency)
            self._failed += not message.startswith(AUTHORIZED)
        if not self._over and not (self._wire and self._wire.closed):
            self._send()

    def _figures(self, took: float) -> Figures:
        ordered = sorted(self._latencies) or [0.0]

        def at(share: float) -> float:
            return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1e6

        calls = len(self._latencies)
        return Figures(calls, self._failed, calls / took, at(0.5), at(0.99), at(0.999))


async def run(load: Load) -> Figures:
    """Sends the load and measures it."""
    return await _Run(load).go()
