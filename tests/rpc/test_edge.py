"""The edge refuses what it must, in the order it promises, and says nothing that it must not."""

import asyncio
import math
import tempfile
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
from rpc.edge_rows import GOOD, ROWS, Row
from talktime.v1.account_service_pb2 import PutRateDeckRequest, RateRow
from talktime.v1.authorization_service_pb2 import AuthorizeResponse, GetCallRequest, SettleRequest
from talktime_server.failure import Applied, Code, NotFound, StoreAway
from talktime_server.rpc.limiter import Limits

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
