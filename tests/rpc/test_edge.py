"""The edge refuses what it must, in the order it promises, and says nothing that it must not."""

import asyncio
import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog
from google.rpc import (  # type: ignore[import-untyped]  # ships no types
    code_pb2,
    error_details_pb2,
    status_pb2,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rpc.edge_kit import (
    AUTHORIZE,
    GET_CALL,
    PUT_RATE_DECK,
    SETTLE,
    Kit,
    details,
    good_request,
    make_kit,
)
from talktime.v1.account_service_pb2 import PutRateDeckRequest, RateRow
from talktime.v1.authorization_service_pb2 import AuthorizeResponse, GetCallRequest, SettleRequest
from talktime_server.failure import Applied, Code, NotFound, StoreAway
from talktime_server.rpc.edge import Incoming
from talktime_server.rpc.limiter import Limits

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
LEAKS = ("Traceback", "Error(", "Exception", "DecodeError", "protobuf", "upb", "KeyError")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
async def test_bad_input_is_answered_as_the_matrix_says(kit: Kit, row: Row) -> None:
    with structlog.testing.capture_logs() as lines:
        reply = await kit.edge().unary(row.call(kit))
    info, bad_request, _ = details(reply)
    assert (reply.code, info.reason) == (row.code, row.reason)
    assert (info.domain, info.metadata["outcome"]) == ("talktime", "NOT_APPLIED")
    if row.field:
        assert row.field in {violation.field for violation in bad_request.field_violations}
    assert kit.book.seen == []
    assert not any(leak in reply.message for leak in LEAKS)
    assert len(lines) == 1
    assert not any(token in str(lines) for token in kit.tokens.values())


async def test_an_empty_message_hears_of_every_missing_field(kit: Kit) -> None:
    reply = await kit.edge().unary(kit.call(b""))
    _, bad_request, _ = details(reply)
    named = {violation.field for violation in bad_request.field_violations}
    assert named == {"call_id", "payer_id", "call_type", "to_number"}


async def test_every_wrong_credential_gets_the_same_bytes(kit: Kit) -> None:
    edge = kit.edge()
    rows = [row for row in ROWS if row.id.startswith(("B57", "B63"))]
    replies = {await edge.unary(row.call(kit)) for row in rows}
    assert len(replies) == 1


async def test_a_repeated_scalar_is_its_last_value_and_unknown_fields_are_let_be(kit: Kit) -> None:
    """Rows B7 and B8."""
    again = good_request(call_id="site1-0002").SerializeToString()
    reply = await kit.edge().unary(kit.call(GOOD + again + b"\xfa\x06\x03abc"))
    assert reply.code == Code.OK
    (request,) = kit.book.seen
    assert request.call_id == "site1-0002"


@pytest.mark.parametrize(
    ("path", "token", "asked", "given"),
    [
        (AUTHORIZE, "router", None, 0.25),
        (AUTHORIZE, "router", 0.1, 0.1),
        (AUTHORIZE, "router", 3_600_000.0, 2.0),
        (AUTHORIZE, "router", math.inf, 2.0),
        (PUT_RATE_DECK, "operator", None, 2.0),
    ],
)
async def test_a_deadline_is_defaulted_and_clamped(
    kit: Kit, path: str, token: str, asked: float | None, given: float
) -> None:
    """Row B65."""
    deck = PutRateDeckRequest(deck_version="d1", rows=[RateRow(prefix="44")]).SerializeToString()
    content = GOOD if path == AUTHORIZE else deck
    reply = await kit.edge().unary(kit.call(content, path=path, token=token, timeout_s=asked))
    assert reply.code == Code.OK
    assert kit.book.remaining_s == [given]


async def _forever() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("path", "outcome"), [(AUTHORIZE, Applied.UNKNOWN), (GET_CALL, Applied.NOT_APPLIED)]
)
async def test_a_deadline_that_passes_in_the_handler_says_whether_anything_may_have_happened(
    kit: Kit, path: str, outcome: Applied
) -> None:
    kit.book.before = _forever
    edge = kit.edge()
    content = GOOD if path == AUTHORIZE else GetCallRequest(call_id="ab").SerializeToString()
    began = asyncio.get_running_loop().time()
    reply = await edge.unary(kit.call(content, path=path, timeout_s=0.03))
    took_s = asyncio.get_running_loop().time() - began
    info, _, _ = details(reply)
    assert (reply.code, info.reason) == (Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
    assert info.metadata["outcome"] == outcome
    assert 0.03 <= took_s < 0.5
    assert edge.in_flight == 0
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_cancelled_call_stays_cancelled_and_gives_its_slot_back(kit: Kit) -> None:
    kit.book.before = _forever
    edge = kit.edge()
    task = asyncio.create_task(edge.unary(kit.call(GOOD)))
    while edge.in_flight == 0:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert edge.in_flight == 0


async def test_a_bug_is_told_by_an_opaque_id_and_the_log_holds_its_text_scrubbed(kit: Kit) -> None:
    async def broken() -> None:
        raise ValueError(f"secret-123 of +447911123456 {kit.tokens['router']}")

    kit.book.before = broken
    with structlog.testing.capture_logs() as lines:
        reply = await kit.edge().unary(kit.call(GOOD))
    info, _, _ = details(reply)
    assert (reply.code, info.reason) == (Code.INTERNAL, "INTERNAL")
    assert info.metadata["outcome"] == Applied.UNKNOWN
    assert b"secret-123" not in reply.status_details + reply.message.encode()
    (line,) = lines
    assert line["error_id"] in reply.message
    assert "secret-123" in line["trace"]
    assert "447911123456" not in str(line)
    assert kit.tokens["router"] not in str(line)


async def test_a_handlers_own_timeout_is_a_bug_and_not_the_callers_deadline(kit: Kit) -> None:
    async def late() -> None:
        raise TimeoutError

    kit.book.before = late
    reply = await kit.edge().unary(kit.call(GOOD))
    assert reply.code == Code.INTERNAL


async def test_a_failure_keeps_its_words_and_other_peoples_tools_read_them(kit: Kit) -> None:
    async def away() -> None:
        raise StoreAway(
            "STORE_AWAY", "the store is away", applied=Applied.UNKNOWN, retry_after_s=0.25
        )

    kit.book.before = away
    reply = await kit.edge().unary(kit.call(GOOD))
    status = status_pb2.Status.FromString(reply.status_details)
    assert (status.code, status.message) == (code_pb2.UNAVAILABLE, "the store is away")
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(retry)
    assert (info.reason, dict(info.metadata)) == ("STORE_AWAY", {"outcome": "UNKNOWN"})
    assert retry.retry_delay.ToMilliseconds() == 250


@pytest.mark.parametrize("token", ["router", "auditor"])
@pytest.mark.parametrize("tenant", ["acme", "another", ""])
async def test_an_emergency_call_passes_role_tenant_deadline_and_limit(
    kit: Kit, token: str, tenant: str
) -> None:
    edge = kit.edge(Limits(in_flight=1, in_flight_per_tenant=1))
    kit.book.before = _forever
    holding = asyncio.create_task(edge.unary(kit.call(GOOD)))
    while edge.in_flight == 0:
        await asyncio.sleep(0)
    request = good_request(to_number="112", tenant_id=tenant).SerializeToString()
    reply = await edge.unary(kit.call(request, token=token, timeout_s=0.001))
    holding.cancel()
    assert reply.code == Code.OK
    assert AuthorizeResponse.FromString(reply.body).number_class == 5
    nobody = await edge.unary(kit.call(request, token="expired"))
    assert nobody.code == Code.UNAUTHENTICATED


async def test_another_tenant_is_refused_and_a_missing_one_is_the_tokens_only_one(
    kit: Kit,
) -> None:
    edge = kit.edge()
    reply = await edge.unary(kit.call(good_request(tenant_id="b").SerializeToString()))
    info, _, _ = details(reply)
    assert (reply.code, info.reason) == (Code.PERMISSION_DENIED, "TENANT_MISMATCH")
    nameless = good_request(tenant_id="").SerializeToString()
    assert (await edge.unary(kit.call(nameless))).code == Code.OK
    reply = await edge.unary(kit.call(nameless, token="operator"))
    info, _, _ = details(reply)
    assert (info.reason, info.metadata["field"]) == ("MISSING_FIELD", "tenant_id")


async def test_overload_is_refused_at_once_and_settles_are_refused_last(kit: Kit) -> None:
    edge = kit.edge(Limits(in_flight=5, in_flight_per_tenant=5))
    kit.book.before = _forever
    settle = SettleRequest(tenant_id="acme", call_id="site1-0001").SerializeToString()
    held = [asyncio.create_task(edge.unary(kit.call(GOOD, timeout_s=2.0))) for _ in range(4)]
    while edge.in_flight < 4:
        await asyncio.sleep(0)
    refused = await edge.unary(kit.call(GOOD))
    held.append(asyncio.create_task(edge.unary(kit.call(settle, path=SETTLE, timeout_s=2.0))))
    while edge.in_flight < 5:
        await asyncio.sleep(0)
    last = await edge.unary(kit.call(settle, path=SETTLE))
    for task in held:
        task.cancel()
    for reply in (refused, last):
        info, _, retry = details(reply)
        assert (reply.code, info.reason) == (Code.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert info.metadata["outcome"] == "NOT_APPLIED"
        assert retry.retry_delay.ToMilliseconds() > 0


async def test_a_flood_of_refusals_is_not_a_flood_of_lines(kit: Kit) -> None:
    edge = kit.edge()
    with structlog.testing.capture_logs() as lines:
        for _ in range(200):
            await edge.unary(kit.call(b"\xff"))
    assert 1 <= len(lines) <= 25


async def test_a_good_call_and_a_known_failure_log_no_line_and_one(kit: Kit) -> None:
    async def unknown() -> None:
        raise NotFound("UNKNOWN_TENANT", "there is no such tenant")

    edge = kit.edge()
    with structlog.testing.capture_logs() as lines:
        await edge.unary(kit.call(GOOD))
        assert lines == []
        kit.book.before = unknown
        await edge.unary(kit.call(GOOD))
    (line,) = lines
    assert (line["reason"], line["token_name"]) == ("UNKNOWN_TENANT", "r1")


_PATHS = [AUTHORIZE, SETTLE, GET_CALL, PUT_RATE_DECK, "/grpc.health.v1.Health/Check"]


def test_any_bytes_get_a_defined_answer() -> None:
    """Goal S3: random bytes, and good messages with bytes changed, to every method."""
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        kit = make_kit(Path(folder) / "tokens.json")
        edge = kit.edge()
        mangled = st.tuples(
            st.just(GOOD), st.integers(0, len(GOOD) - 1), st.binary(min_size=1, max_size=4)
        ).map(lambda cut: cut[0][: cut[1]] + cut[2] + cut[0][cut[1] + 1 :])

        @settings(
            max_examples=500, deadline=None, suppress_health_check=[HealthCheck.differing_executors]
        )
        @given(path=st.sampled_from(_PATHS), content=st.binary(max_size=200) | mangled)
        def answers(path: str, content: bytes) -> None:
            call = kit.call(content, path=path, token="operator")
            reply = runner.run(edge.unary(call))
            assert reply.code != Code.INTERNAL, reply.message
            assert reply.code in set(Code)
            assert not any(leak in reply.message for leak in LEAKS)

        answers()


def test_any_metadata_gets_a_defined_answer() -> None:
    entry = st.tuples(st.binary(max_size=20) | st.just(b"authorization"), st.binary(max_size=200))
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        kit = make_kit(Path(folder) / "tokens.json")
        edge = kit.edge()

        @settings(max_examples=200, deadline=None)
        @given(metadata=st.lists(entry, max_size=70).map(tuple))
        def answers(metadata: tuple[tuple[bytes, bytes], ...]) -> None:
            reply = runner.run(edge.unary(kit.call(GOOD, metadata=metadata)))
            assert reply.code in {Code.UNAUTHENTICATED, Code.RESOURCE_EXHAUSTED}

        answers()
