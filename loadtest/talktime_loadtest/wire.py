"""A lean HTTP/2 client for gRPC: so little work per call that the server is what is measured.

Header blocks are written once and sent as they are; what one tick of the loop starts leaves in one
write; windows are honoured both ways. It is no general client: no TLS, and one kind of call per
connection. What a call came to is told in a word: OK, the name of a gRPC status, or what broke it.
"""

import asyncio
import struct
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import cast

from talktime_loadtest.headers import BadBlock, read_block

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
CONTINUATION = 9
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 1, 1, 4, 8, 0x20
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_STREAMS, FIRST_WINDOW, MAX_FRAME = 1, 2, 3, 4, 5
WIDEST_WINDOW = 2**31 - 1
COMMON_WINDOW = 65_535
COMMON_FRAME = 16_384
FRAME_HEADER_BYTES = 9
PREFIX_BYTES = 5
LAST_STREAM = 2**31 - 1
# Long before a window is used up, it is opened again.
REOPEN_AFTER_BYTES = 2**29

OK = "OK"
LOST = "CONNECTION_LOST"
RESET = "RESET"
WRONG_ANSWER = "WRONG_ANSWER"
STATUS_NAMES = (
    *(OK, "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND"),
    *("ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION"),
    *("ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"),
    "UNAUTHENTICATED",
)

_head = struct.Struct(">HBBBI").unpack_from
_frame_head = struct.Struct(">HBBBI").pack
_prefix = struct.Struct(">BI").pack


class Call:
    """One call, or one long stream: `mark` is the caller's own, `status` what it came to."""

    __slots__ = ("body", "mark", "messages", "number", "status", "unread", "window")

    def __init__(self, mark: object, number: int, window: int) -> None:
        self.mark = mark
        self.number = number
        self.window = window
        self.body = b""
        self.status = ""
        self.unread = 0
        # Takes each message of a stream as it comes; without it the whole body is kept.
        self.messages: Callable[[bytes], None] | None = None


Ended = Callable[[Call], None]


class Wire(asyncio.Protocol):
    """One connection. `ended` hears of each call's end, `read` of each time that something came."""

    def __init__(
        self,
        headers: bytes,
        ended: Ended,
        *,
        read: Callable[[], None] | None = None,
        framed: bool = True,
    ) -> None:
        """`framed`: bodies are gRPC's; else they are sent as they are, and the status is HTTP's."""
        self.over = False
        self._framed = framed
        self._headers = headers
        self._ended = ended
        self._read = read
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._calls: dict[int, Call] = {}
        self._number = 1
        self._most_calls = 100
        self._window = COMMON_WINDOW
        self._call_window = COMMON_WINDOW
        self._frame_bytes = COMMON_FRAME
        self._unread = 0
        self._waiting: deque[tuple[object, bytes, bytes]] = deque()
        # What of a stream's messages waits for its window, in order.
        self._held: dict[int, deque[bytes]] = {}
        self._out: list[bytes] = []
        self._block = b""

    @property
    def closed(self) -> bool:
        """Whether no call may be started any more."""
        return self.over or self._number >= LAST_STREAM

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Opens with the widest windows, so that answers are never held back."""
        # uvloop's transports are of no common class.
        self._transport = cast(asyncio.Transport, transport)
        chosen = ((HEADER_TABLE_SIZE, 0), (ENABLE_PUSH, 0), (FIRST_WINDOW, WIDEST_WINDOW))
        settings = b"".join(struct.pack(">HI", name, number) for name, number in chosen)
        widen = struct.pack(">I", WIDEST_WINDOW - COMMON_WINDOW)
        self._transport.write(
            PREFACE + _frame(SETTINGS, 0, 0, settings) + _frame(WINDOW_UPDATE, 0, 0, widen)
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """Every call on the way has failed; what came of it is not known."""
        self.over = True
        self.lose(LOST)
        if self._read:
            self._read()

    def lose(self, status: str) -> None:
        """Ends every call without an answer."""
        calls = [*self._calls.values(), *(Call(mark, 0, 0) for mark, *_ in self._waiting)]
        self._calls.clear()
        self._waiting.clear()
        for call in calls:
            call.status = status
            self._ended(call)

    def call(self, mark: object, message: bytes, headers: bytes = b"") -> None:
        """Starts a unary call, now or as soon as the peer has room for it; `headers` are those of the connection if not given."""
        headers = headers or self._headers
        size = len(message) + PREFIX_BYTES
        if self.closed:
            call = Call(mark, 0, 0)
            call.status = LOST
            self._loop.call_soon(self._ended, call)
        elif size > self._window or len(self._calls) >= self._most_calls:
            self._waiting.append((mark, message, headers))
        else:
            self._start(mark, message, headers)

    def stream(self, mark: object, messages: Callable[[bytes], None]) -> Call:
        """Opens a long stream, whose messages `messages` takes."""
        call = self._open(mark)
        call.messages = messages
        self._put(_frame(HEADERS, END_HEADERS, call.number, self._headers))
        return call

    def send(self, call: Call, message: bytes) -> None:
        """Sends a message on a stream; what the windows do not allow yet follows as they open."""
        body = _prefix(0, len(message)) + message
        held = self._held.get(call.number)
        if held:
            held.append(body)
        else:
            self._send_body(call, body)

    def finish(self, call: Call) -> None:
        """Ends our side of a stream."""
        if not self.over:
            self._put(_frame(DATA, END_STREAM, call.number, b""))

    def close(self) -> None:
        """Hangs up."""
        self.over = True
        if self._transport:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Takes whole frames off what has come."""
        if self._rest:
            data = self._rest + data
        at, size = 0, len(data)
        while size - at >= FRAME_HEADER_BYTES:
            high, low, kind, flags, number = _head(data, at)
            begin = at + FRAME_HEADER_BYTES
            end = begin + (high << 8 | low)
            if size < end:
                break
            if kind == DATA:
                self._took_body(flags, number, data[begin:end])
            elif kind == HEADERS and flags & ~END_STREAM == END_HEADERS:
                self._took_block(flags, number, data[begin:end])
            else:
                self._took(kind, flags, number & WIDEST_WINDOW, data[begin:end])
            at = end
        self._rest = data[at:]
        if self._read:
            self._read()

    def _took_body(self, flags: int, number: int, payload: bytes) -> None:
        size = len(payload)
        self._unread += size
        if self._unread > REOPEN_AFTER_BYTES:
            self._reopen(0, self._unread)
            self._unread = 0
        call = self._calls.get(number)
        if call is None:
            return
        if flags & PADDED:
            payload = payload[1 : len(payload) - payload[0]]
        call.body = call.body + payload if call.body else payload
        if call.messages:
            self._took_messages(call, size)
        if flags & END_STREAM:
            self._end(call)

    def _took_messages(self, call: Call, size: int) -> None:
        body, at = call.body, 0
        while len(body) - at >= PREFIX_BYTES:
            end = at + PREFIX_BYTES + int.from_bytes(body[at + 1 : at + PREFIX_BYTES], "big")
            if len(body) < end:
                break
            assert call.messages
            call.messages(body[at + PREFIX_BYTES : end])
            at = end
        call.body = body[at:]
        call.unread += size
        if call.unread > REOPEN_AFTER_BYTES:
            self._reopen(call.number, call.unread)
            call.unread = 0

    def _took(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if kind in (HEADERS, CONTINUATION):
            self._took_headers(kind, flags, number, payload)
        elif kind == WINDOW_UPDATE:
            self._widened(number, int.from_bytes(payload, "big") & WIDEST_WINDOW)
        elif kind == RST_STREAM and (call := self._calls.get(number)):
            call.status = RESET
            self._end(call)
        elif kind == GOAWAY:
            self._told_to_leave(int.from_bytes(payload[:4], "big") & WIDEST_WINDOW)
        elif kind == SETTINGS and not flags & ACK:
            self._took_settings(payload)
            self._put(_frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self._put(_frame(PING, ACK, 0, payload))

    def _took_headers(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if kind == HEADERS and flags & (PADDED | PRIORITY):
            padding = payload[0] if flags & PADDED else 0
            skipped = (1 if flags & PADDED else 0) + (5 if flags & PRIORITY else 0)
            payload = payload[skipped : len(payload) - padding]
        self._block = self._block + payload if kind == CONTINUATION else payload
        if flags & END_HEADERS:
            self._took_block(flags, number, self._block)

    def _took_block(self, flags: int, number: int, block: bytes) -> None:
        call = self._calls.get(number)
        if call is None:
            return
        status = status_of(block)
        # A response begins with its headers; only the block that ends it may tell that all is well.
        if status:
            call.status = status
        if flags & END_STREAM:
            self._end(call)

    def _took_settings(self, payload: bytes) -> None:
        for at in range(0, len(payload) - 5, 6):
            name, number = struct.unpack_from(">HI", payload, at)
            if name == MAX_STREAMS:
                self._most_calls = number
            elif name == MAX_FRAME:
                self._frame_bytes = number
            elif name == FIRST_WINDOW:
                more, self._call_window = number - self._call_window, number
                for call in list(self._calls.values()):
                    call.window += more
        self._start_waiting()
        self._send_held()

    def _widened(self, number: int, by: int) -> None:
        if number == 0:
            self._window += by
        elif call := self._calls.get(number):
            call.window += by
        self._start_waiting()
        self._send_held()

    def _told_to_leave(self, last: int) -> None:
        """No new calls here; those that the peer will not look at have failed, and were not applied."""
        self.over = True
        for call in [each for number, each in self._calls.items() if number > last]:
            call.status = LOST
            self._end(call)
        waiting = [Call(mark, 0, 0) for mark, *_ in self._waiting]
        self._waiting.clear()
        for call in waiting:
            call.status = LOST
            self._ended(call)

    def _end(self, call: Call) -> None:
        self._calls.pop(call.number, None)
        self._held.pop(call.number, None)
        if not call.status:
            call.status = WRONG_ANSWER if self._framed else OK
        self._ended(call)
        if self._waiting:
            self._start_waiting()

    def _open(self, mark: object) -> Call:
        number, self._number = self._number, self._number + 2
        call = self._calls[number] = Call(mark, number, self._call_window)
        return call

    def _start(self, mark: object, message: bytes, headers: bytes) -> None:
        number = self._open(mark).number
        body = _prefix(0, len(message)) + message if self._framed else message
        size = len(body)
        self._window -= size
        if not self._out:
            self._loop.call_soon(self._flush)
        # Two frames, written out here: this is where most of a call's own cost is.
        begin = _frame_head(len(headers) >> 8, len(headers) & 0xFF, HEADERS, END_HEADERS, number)
        then = _frame_head(size >> 8, size & 0xFF, DATA, END_STREAM, number)
        self._out += (begin, headers, then, body)

    def _start_waiting(self) -> None:
        while self._waiting and not self.over and len(self._calls) < self._most_calls:
            mark, message, headers = self._waiting[0]
            size = len(message) + PREFIX_BYTES
            if size > self._window:
                return
            self._waiting.popleft()
            self._start(mark, message, headers)

    def _send_body(self, call: Call, body: bytes) -> None:
        while body:
            allowed = min(len(body), self._window, call.window, self._frame_bytes)
            if allowed <= 0:
                self._held.setdefault(call.number, deque()).appendleft(body)
                return
            self._put(_frame(DATA, 0, call.number, body[:allowed]))
            self._window -= allowed
            call.window -= allowed
            body = body[allowed:]

    def _send_held(self) -> None:
        for number in list(self._held):
            held, call = self._held[number], self._calls.get(number)
            while call and held and self._window > 0 and call.window > 0:
                self._send_body(call, held.popleft())
            if not held or call is None:
                del self._held[number]

    def _reopen(self, number: int, by: int) -> None:
        self._put(_frame(WINDOW_UPDATE, 0, number, struct.pack(">I", by)))

    def _put(self, frame: bytes) -> None:
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(frame)

    def _flush(self) -> None:
        assert self._transport is not None
        if not self._transport.is_closing():
            self._transport.write(b"".join(self._out))
        self._out.clear()


@lru_cache(maxsize=4096)
def status_of(block: bytes) -> str:
    """What a header block says of its call: nothing when it only begins well."""
    try:
        fields = read_block(block)
    except (BadBlock, IndexError):
        return WRONG_ANSWER
    if code := fields.get("grpc-status"):
        known = code.isdigit() and int(code) < len(STATUS_NAMES)
        return STATUS_NAMES[int(code)] if known else WRONG_ANSWER
    status = fields.get(":status", "200")
    return "" if status == "200" else f"HTTP_{status}"


def _frame(kind: int, flags: int, number: int, payload: bytes = b"") -> bytes:
    size = len(payload)
    return _frame_head(size >> 8, size & 0xFF, kind, flags, number) + payload
