"""gRPC's framing: five bytes before each message, a deadline in a header, a status in trailers."""

import base64
from urllib.parse import quote

from talktime_server.failure import Broken, Code, Failure, Invalid, NotServed, TooMuch
from talktime_server.rpc.shapes import BULK_BODY_BYTES, Reply

PREFIX_BYTES = 5
COMPRESSED = 1
# What any message may have; the edge has a lower cap for most methods.
MESSAGE_BYTES = BULK_BODY_BYTES
_UNIT_S = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_TIMEOUT_DIGITS = 9
# Printable ASCII but "%": what grpc-message may hold as it is.
_PLAIN = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")

Headers = list[tuple[bytes, bytes]]


def framed(message: bytes) -> bytes:
    """A message with its prefix."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def whole_message(chunk: bytes) -> bytes | None:
    """The message, if the chunk is exactly one that is not compressed: nearly always."""
    if len(chunk) >= PREFIX_BYTES and chunk[0] == 0:
        size = len(chunk) - PREFIX_BYTES
        if size <= MESSAGE_BYTES and size == int.from_bytes(chunk[1:PREFIX_BYTES], "big"):
            return chunk[PREFIX_BYTES:]
    return None


class Frames:
    """Cuts a byte stream into messages. Keeps at most one message, and none whose prefix breaks a rule."""

    def __init__(self, encoding: bytes) -> None:
        self._encoding = encoding
        self._kept = bytearray()

    @property
    def empty(self) -> bool:
        """Whether nothing of a further message has come."""
        return not self._kept

    def feed(self, chunk: bytes) -> None:
        """Adds what has come."""
        self._kept += chunk

    def next(self) -> bytes | None:
        """The next whole message; None until more has come. Raises Failure when the prefix breaks a rule."""
        kept = self._kept
        if len(kept) < PREFIX_BYTES:
            return None
        size = int.from_bytes(kept[1:PREFIX_BYTES], "big")
        self._check(kept[0], size)
        end = PREFIX_BYTES + size
        if len(kept) < end:
            return None
        message = bytes(kept[PREFIX_BYTES:end])
        del kept[:end]
        return message

    def _check(self, flag: int, size: int) -> None:
        if size > MESSAGE_BYTES:
            text = f"a message may have {MESSAGE_BYTES} bytes"
            raise TooMuch("MESSAGE_TOO_LARGE", text)
        # Other bits of the flag mean nothing yet; grpcio lets them pass, so both engines do.
        if flag == COMPRESSED:
            raise compression_refused(self._encoding)


def compression_refused(encoding: bytes) -> Failure:
    """Compressed messages are not taken: a few bytes could stand for gigabytes."""
    if encoding in (b"", b"identity"):
        return Broken(
            "COMPRESSED_MESSAGE", "a message is marked as compressed, and no encoding is named"
        )
    return NotServed("COMPRESSED_MESSAGE", "compressed messages are not taken")


def message_missing(part: bool) -> Failure:
    """The caller ended its side before a whole message had come."""
    if part:
        return Invalid("MALFORMED_MESSAGE", "the call ended in the middle of a message")
    return Invalid("MISSING_MESSAGE", "the call ended without a message")


def timeout_s(value: bytes | None) -> float | None:
    """The seconds a grpc-timeout header gives; None without one, or when it is no timeout."""
    if not value:
        return None
    digits, unit_s = value[:-1], _UNIT_S.get(value[-1:])
    if unit_s is None or not digits.isdigit() or len(digits) > _TIMEOUT_DIGITS:
        return None
    return int(digits) * unit_s


def status_headers(reply: Reply) -> Headers:
    """The status of a call, as headers or trailers."""
    headers = [(b"grpc-status", b"%d" % reply.code)]
    if reply.code is not Code.OK:
        headers.append((b"grpc-message", quote(reply.message, safe=_PLAIN).encode()))
    if reply.status_details:
        unpadded = base64.b64encode(reply.status_details).rstrip(b"=")
        headers.append((b"grpc-status-details-bin", unpadded))
    return headers
