"""A lean HTTP/2 client for unary gRPC calls: so little work per call that the server is what is measured.

Header blocks are written once and sent as they are; of an answer only the frame headers and the
first bytes of its message are looked at. It is no general client: no TLS, no header decoding, one
kind of call per connection.
"""

import asyncio
import struct
from collections.abc import Callable

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
WIDEST_WINDOW = 2**31 - 1
FIRST_WINDOW = 65_535
FRAME_HEADER_BYTES = 9
LAST_STREAM = 2**31 - 1

# Told for each call: its number, when it ended, and the message (empty for a call that failed).
Ended = Callable[[int, float, bytes], None]


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _literal(name: bytes, value: bytes) -> bytes:
    """A header that the peer is told not to remember; lengths below 127 only, which ours are."""
    assert len(name) < 127
    length = bytes([len(value)]) if len(value) < 127 else b"\x7f" + bytes([len(value) - 127])
    return b"\x00" + bytes([len(name)]) + name + length + value


def header_block(path: str, authority: str, metadata: dict[str, str]) -> bytes:
    """The headers of every call of a connection."""
    fields = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", path.encode()),
        (b":authority", authority.encode()),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        *((name.encode(), value.encode()) for name, value in metadata.items()),
    ]
    return b"".join(_literal(name, value) for name, value in fields)


class Wire(asyncio.Protocol):
    """One connection. `send` starts a call; `ended` hears of its end."""

    def __init__(self, headers: bytes, ended: Ended) -> None:
        self._headers = headers
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._calls: dict[int, int] = {}
        self._messages: dict[int, bytes] = {}
        self._stream = 1
        self._window = FIRST_WINDOW
        self._waiting: list[tuple[int, bytes]] = []
        self._out: list[bytes] = []
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Opens with the widest windows, so that answers are never held back."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        settings = struct.pack(">HIHI", 3, 0, 4, WIDEST_WINDOW)
        widen = struct.pack(">I", WIDEST_WINDOW - FIRST_WINDOW)
        transport.write(
            PREFACE + _frame(SETTINGS, 0, 0, settings) + _frame(WINDOW_UPDATE, 0, 0, widen)
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """Every call on the way has failed."""
        self.closed = True
        for call in list(self._calls.values()):
            self._ended(call, self._loop.time(), b"")
        self._calls.clear()

    def send(self, call: int, message: bytes) -> None:
        """Starts a call; what one tick of the loop starts leaves in one write."""
        if self.closed or self._stream >= LAST_STREAM:
            self._ended(call, self._loop.time(), b"")
        elif len(message) + 5 > self._window:
            self._waiting.append((call, message))
        else:
            self._start(call, message)

    def _start(self, call: int, message: bytes) -> None:
        stream, self._stream = self._stream, self._stream + 2
        body = b"\x00" + struct.pack(">I", len(message)) + message
        self._window -= len(body)
        self._calls[stream] = call
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(_frame(HEADERS, END_HEADERS, stream, self._headers))
        self._out.append(_frame(DATA, END_STREAM, stream, body))

    def _flush(self) -> None:
        assert self._transport is not None
        if not self.closed:
            self._transport.write(b"".join(self._out))
        self._out.clear()

    def data_received(self, data: bytes) -> None:
        """Takes whole frames off what has come."""
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= FRAME_HEADER_BYTES:
            length = int.from_bytes(buffer[at : at + 3], "big")
            end = at + FRAME_HEADER_BYTES + length
            if len(buffer) < end:
                break
            kind, flags = buffer[at + 3], buffer[at + 4]
            stream = int.from_bytes(buffer[at + 5 : at + 9], "big") & WIDEST_WINDOW
            self._frame_received(kind, flags, stream, bytes(buffer[at + 9 : end]))
            at = end
        del buffer[:at]

    def _frame_received(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == DATA:
            self._messages[stream] = self._messages.get(stream, b"") + payload
        elif kind == WINDOW_UPDATE and stream == 0:
            self._window += struct.unpack(">I", payload)[0]
            self._start_waiting()
        elif kind == GOAWAY:
            self.closed = True
        elif kind in (SETTINGS, PING) and not flags & ACK:
            self._out.append(_frame(kind, ACK, 0, payload if kind == PING else b""))
            self._loop.call_soon(self._flush)
        if kind == RST_STREAM or (kind in (DATA, HEADERS) and flags & END_STREAM):
            self._end(stream)

    def _end(self, stream: int) -> None:
        call = self._calls.pop(stream, None)
        message = self._messages.pop(stream, b"")
        if call is not None:
            self._ended(call, self._loop.time(), message[5:])

    def _start_waiting(self) -> None:
        while self._waiting and len(self._waiting[0][1]) + 5 <= self._window:
            self._start(*self._waiting.pop(0))

    def close(self) -> None:
        """Hangs up."""
        self.closed = True
        if self._transport:
            self._transport.close()
