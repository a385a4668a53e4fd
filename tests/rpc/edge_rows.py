"""The rows of the bad-input matrix that belong to the edge: what comes in, and what must be answered."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from rpc.edge_kit import PUT_RATE_DECK, SETTLE, Kit, good_request
from talktime.v1.account_service_pb2 import PutRateDeckRequest, RateRow
from talktime_server.failure import Code
from talktime_server.rpc.edge import Incoming

GOOD = good_request().SerializeToString()
GROUP_101 = b"\x9b\x06" * 101 + b"\x9c\x06" * 101
GROUP_5000 = b"\x9b\x06" * 5000 + b"\x9c\x06" * 5000


@dataclass(frozen=True)
class Row:
    """A row of the bad-input matrix: what comes in, and what must be answered."""

    id: str
    call: Callable[[Kit], Incoming]
    code: Code
    reason: str
    field: str = ""


def body(row: str, content: bytes, reason: str, field: str = "") -> Row:
    code = Code.INVALID_ARGUMENT
    return Row(row, lambda kit: kit.call(content), code, reason, field)


def credentials(row: str, *headers: bytes, reason: str = "UNAUTHENTICATED") -> Row:
    metadata = tuple((b"authorization", header) for header in headers)
    code = Code.UNAUTHENTICATED
    return Row(row, lambda kit: kit.call(GOOD, metadata=metadata), code, reason)


def metadata(row: str, extra: tuple[tuple[bytes, bytes], ...]) -> Row:
    def call(kit: Kit) -> Incoming:
        return kit.call(GOOD, metadata=(*extra, kit.bearer("router")))

    return Row(row, call, Code.RESOURCE_EXHAUSTED, "METADATA_TOO_LARGE")


def text_field(text: bytes) -> bytes:
    """payer_id with these bytes, behind a good call_id."""
    return b"\x12\x04ab12" + b"\x1a" + bytes([len(text)]) + text


def many_rows() -> bytes:
    rows = [RateRow(prefix="44") for _ in range(2001)]
    return PutRateDeckRequest(deck_version="d1", rows=rows).SerializeToString()


def deadline(row: str, timeout_s: float) -> Row:
    def call(kit: Kit) -> Incoming:
        return kit.call(GOOD, timeout_s=timeout_s)

    return Row(row, call, Code.DEADLINE_EXCEEDED, "DEADLINE_TOO_SHORT")


EXHAUSTED, INVALID = Code.RESOURCE_EXHAUSTED, Code.INVALID_ARGUMENT
ROWS = [
    body("B1 random bytes", b"\xff\xfe\xfd\xfc not a message", "MALFORMED_MESSAGE"),
    body("B2 truncated varint", b"\x40\xff", "MALFORMED_MESSAGE"),
    body("B2 11-byte varint", b"\x40" + b"\xff" * 10 + b"\x01", "MALFORMED_MESSAGE"),
    body("B2 field number 0", b"\x02\x01a", "MALFORMED_MESSAGE"),
    body("B3 length beyond the body", b"\x0a\x7fab", "MALFORMED_MESSAGE"),
    body("B4 empty message", b"", "BAD_REQUEST_ID", "call_id"),
    body("B5 wrong wire type", text_field(b"")[:-2] + b"\x18\x01", "MISSING_FIELD", "payer_id"),
    body("B11 groups 101 deep", GROUP_101, "TOO_DEEP"),
    body("B11 groups 5000 deep", GROUP_5000[: 16 * 1024], "TOO_DEEP"),
    Row(
        "B12 a million items",
        lambda kit: kit.call(b"\x22\x00" * 500_000, path=PUT_RATE_DECK, token="operator"),
        EXHAUSTED,
        "MESSAGE_TOO_LARGE",
    ),
    Row(
        "B12 more items than a list may have",
        lambda kit: kit.call(many_rows(), path=PUT_RATE_DECK, token="operator"),
        INVALID,
        "TOO_MANY_ITEMS",
        "rows",
    ),
    Row(
        "B13 over the hot cap",
        lambda kit: kit.call(GOOD + b"\x7a\xff\x7f" + b"x" * 16383),
        EXHAUSTED,
        "MESSAGE_TOO_LARGE",
    ),
    body("B20 invalid UTF-8", text_field(b"\xff\xfe"), "INVALID_UTF8", "payer_id"),
    body("B20 overlong NUL", text_field(b"\xc0\x80"), "INVALID_UTF8", "payer_id"),
    body("B20 lone surrogate", text_field(b"\xed\xa0\x80"), "INVALID_UTF8", "payer_id"),
    Row(
        "B20 inside a message",
        lambda kit: kit.call(b"\x22\x04\x12\x02\xff\xfe", path=SETTLE),
        INVALID,
        "INVALID_UTF8",
        "call.call_id",
    ),
    credentials("B57 none"),
    credentials("B57 garbage", b"Bearer garbage"),
    credentials("B57 another scheme", b"Basic dXNlcjpwYXNz"),
    credentials("B57 alg none", b"Bearer eyJhbGciOiJub25lIn0.eyJhdWQiOiJ4In0."),
    credentials("B57 unknown token", b"Bearer tt_0123456789ab_" + b"x" * 43),
    Row(
        "B57 expired",
        lambda kit: kit.call(GOOD, token="expired"),
        Code.UNAUTHENTICATED,
        "UNAUTHENTICATED",
    ),
    Row(
        "B57 not yet valid",
        lambda kit: kit.call(GOOD, token="early"),
        Code.UNAUTHENTICATED,
        "UNAUTHENTICATED",
    ),
    Row(
        "B58 two authorization entries",
        lambda kit: kit.call(GOOD, metadata=(kit.bearer("router"), kit.bearer("router"))),
        Code.UNAUTHENTICATED,
        "AMBIGUOUS_CREDENTIALS",
    ),
    Row(
        "B59 role too low",
        lambda kit: kit.call(GOOD, token="auditor"),
        Code.PERMISSION_DENIED,
        "ROLE_FORBIDDEN",
    ),
    metadata("B61 9 KiB of metadata", ((b"x-filler", b"x" * 9 * 1024),)),
    metadata("B62 1,000 entries", tuple((b"x", b"y") for _ in range(1000))),
    Row(
        "B63 newline in a header we use",
        lambda kit: kit.call(
            GOOD, metadata=((kit.bearer("router")[0], kit.bearer("router")[1] + b"\n"),)
        ),
        Code.UNAUTHENTICATED,
        "UNAUTHENTICATED",
    ),
    credentials("B63 NUL in a header we use", b"Bearer tt_a\x00b_cd"),
    deadline("B65 no time at all", 0.0),
    deadline("B65 negative", -1.0),
    deadline("B65 less than 5 ms", 0.004),
    deadline("B65 not a number", math.nan),
    Row(
        "B66 unknown method",
        lambda kit: kit.call(GOOD, path="/talktime.v1.AuthorizationService/Nothing"),
        Code.UNIMPLEMENTED,
        "UNKNOWN_METHOD",
    ),
    Row(
        "B66 reflection while it is off",
        lambda kit: kit.call(path="/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"),
        Code.UNIMPLEMENTED,
        "UNKNOWN_METHOD",
    ),
]
