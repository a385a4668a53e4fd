"""Rows of the bad-input matrix that take more than one request, and those that are answered and not refused."""

from collections.abc import Iterable

from google.protobuf.message import Message

from service.bad_rows import FAILED, INVALID, MISSING, Row, Scene
from service.raw import Reply, path_of
from service.site import AT_HOME, MINUTE, Site
from service.test_identity import request_of
from talktime.v1 import account_service_pb2 as accounts
from talktime.v1 import authorization_service_pb2 as pb
from talktime_server.decision.deck_file import REQUIRED_COLUMNS, read_csv

EXISTS = "ALREADY_EXISTS"
INERT = (
    "__proto__",
    "../../etc/passwd",
    "'; DROP TABLE tenants; --",
    "%00",
    "{{7*7}} ${7*7} <script>alert(1)</script>",
    "]] redis.call('FLUSHALL') --[[",
    "=HYPERLINK(1)",
)
DECIMALS = ("1e3", "0x10", "1_000", " 12 ", "+5", "٣", "nan", "inf", "-0.0", "1.0000001")


def stories() -> Iterable[Row]:
    """Every row that is a story."""
    yield Row("B28 an unassigned country code", _nowhere, "OK")
    yield Row("B29 an emergency number", _help, "OK", moves=("RECORD",))
    yield Row("B29 an emergency number among rubbish", _help_among_rubbish, "OK")
    yield Row("B35 more than a balance may be", _too_rich, FAILED, "BALANCE_LIMIT")
    yield Row("B36 numbers with a point", _no_floats, "OK")
    yield Row("B37 decimals that are none", _bad_decimals, "OK")
    yield Row("B42 the same id and body", _the_same, "OK", moves=("HOLD",))
    yield Row("B43 the same id, another body", _altered, EXISTS, "IDEMPOTENCY_MISMATCH", ("HOLD",))
    yield Row("B44 the same id elsewhere", _elsewhere, "OK", moves=("FUND", "HOLD"))
    yield Row("B45 the same id 64 times at once", _at_once, "OK", moves=("HOLD",))
    yield Row("B46 a settle of no call", _settle_unknown, MISSING, "UNKNOWN_CALL", ("UNMATCHED",))
    yield Row(
        "B47 a settle of another's call",
        _settle_theirs,
        MISSING,
        "UNKNOWN_CALL",
        ("UNMATCHED",) * 2,
    )
    yield Row("B48 settled otherwise", _settle_twice, FAILED, "ALREADY_SETTLED", ("HOLD", "SETTLE"))
    yield Row(
        "B49 released when settled", _release_settled, FAILED, "ALREADY_SETTLED", ("HOLD", "SETTLE")
    )
    yield Row(
        "B49 settled when released",
        _settle_released,
        FAILED,
        "ALREADY_RELEASED",
        ("HOLD", "RELEASE"),
    )
    yield Row("B51 a payer of another tenant calls", _their_payer, "OK")
    yield Row("B51 a payer of another tenant is read", _read_their_payer, MISSING, "UNKNOWN_PAYER")
    for text in INERT:
        yield _stored(text)
    for size in (0, 1, 10**9):
        yield Row(f"B56 a page of {size}", lambda s, size=size: _page(s, size), "OK")  # type: ignore[misc]  # a bound default
    yield Row("B56 a page of -1", lambda s: _page(s, -1), INVALID, "OUT_OF_RANGE")
    yield Row("B56 a forged page token", lambda s: _page(s, 1, "AAAA"), INVALID, "BAD_PAGE_TOKEN")
    yield Row("B56 another tenant's page token", _their_token, INVALID, "BAD_PAGE_TOKEN")


def _nowhere(scene: Scene) -> Reply:
    reply = scene.authorize(to_number="+9991234567")
    answer = reply.answer(pb.AuthorizeResponse)
    assert (answer.outcome, answer.reason) == (pb.OUTCOME_REFUSED, pb.REASON_NO_RATE)
    return reply


def _help(scene: Scene) -> Reply:
    reply = scene.authorize(to_number="112")
    answer = reply.answer(pb.AuthorizeResponse)
    assert answer.outcome == pb.OUTCOME_AUTHORIZED
    assert [source.amount_micros for source in answer.sources] == [0]
    return reply


def _help_among_rubbish(scene: Scene) -> Reply:
    """Not recorded: the call has no id that could be."""
    reply = scene.authorize(
        to_number="911", call_id="{}", payer_id="\0", call_type=0, requested_seconds=-1
    )
    assert reply.answer(pb.AuthorizeResponse).outcome == pb.OUTCOME_AUTHORIZED
    return reply


def _too_rich(scene: Scene) -> Reply:
    rich = Site.open(scene.site.service)
    rich.enrich(8_999_999_999_999_999)
    more = accounts.AddFundsRequest(
        tenant_id=rich.tenant_id, funding_id="invoice-9", amount_micros=2
    )
    reply = scene.operate(more)
    assert rich.sums() == (8_999_999_999_999_999, 0)
    rich.close()
    return reply


def _no_floats(scene: Scene) -> Reply:
    kinds = [
        field.type
        for file in (pb.DESCRIPTOR, accounts.DESCRIPTOR)
        for message in file.message_types_by_name.values()
        for field in message.fields
    ]
    assert not {1, 2} & set(kinds)  # double and float
    return scene.raw.ask(_call_of(scene))


def _bad_decimals(scene: Scene) -> Reply:
    """Decimals come in deck files alone."""
    for text in DECIMALS:
        file = read_csv([",".join(REQUIRED_COLUMNS), f"44,x,{text},0,60,60,EUR"])
        assert [(bad.field, bad.rule) for bad in file.bad] == [("rate_per_minute", "BAD_DECIMAL")]
    return scene.raw.ask(_call_of(scene))


def _call_of(scene: Scene) -> pb.GetCallRequest:
    return pb.GetCallRequest(tenant_id=scene.site.tenant_id, call_id="old")


def _the_same(scene: Scene) -> Reply:
    first = scene.authorize().answer(pb.AuthorizeResponse)
    reply = scene.authorize()
    again = reply.answer(pb.AuthorizeResponse)
    assert again.replayed
    again.replayed = False
    assert again == first
    return reply


def _altered(scene: Scene) -> Reply:
    scene.authorize().answer(pb.AuthorizeResponse)
    return scene.authorize(requested_seconds=61)


def _elsewhere(scene: Scene) -> Reply:
    """As a funding's id and as another tenant's call."""
    for site in (scene.site, scene.other):
        site.operator.add_funds("leg-1", MINUTE)
    theirs = scene.raw.ask(request_of(scene.other)).answer(pb.AuthorizeResponse)
    reply = scene.authorize()
    assert not theirs.replayed
    assert not reply.answer(pb.AuthorizeResponse).replayed
    return reply


def _at_once(scene: Scene) -> Reply:
    request = request_of(scene.site)
    body = request.SerializeToString()
    pending = [scene.raw.begin(path_of(request), body) for _ in range(64)]
    answers = [reply().answer(pb.AuthorizeResponse) for reply in pending]
    assert sorted(answer.replayed for answer in answers) == [False] + [True] * 63
    for answer in answers:
        answer.replayed = False
    assert all(answer == answers[0] for answer in answers)
    return scene.authorize()


def _settle(scene: Scene, call_id: str, seconds: int = 60) -> Reply:
    return scene.raw.ask(
        pb.SettleRequest(tenant_id=scene.site.tenant_id, call_id=call_id, duration_seconds=seconds)
    )


def _settle_unknown(scene: Scene) -> Reply:
    return _settle(scene, "nobodys")


def _settle_theirs(scene: Scene) -> Reply:
    theirs, unknown = _settle(scene, "theirs"), _settle(scene, "nobodys")
    assert theirs == unknown
    assert scene.other.router.get_call("theirs").state == "OPEN"
    return theirs


def _settle_twice(scene: Scene) -> Reply:
    scene.authorize()
    _settle(scene, "leg-1").answer(pb.SettleResponse)
    reply = _settle(scene, "leg-1", 61)
    assert reply.facts["duration_seconds"] == "60"
    assert reply.facts["charged_micros"] == str(MINUTE)
    return reply


def _release(scene: Scene) -> Reply:
    return scene.raw.ask(pb.ReleaseRequest(tenant_id=scene.site.tenant_id, call_id="leg-1"))


def _release_settled(scene: Scene) -> Reply:
    scene.authorize()
    _settle(scene, "leg-1").answer(pb.SettleResponse)
    return _release(scene)


def _settle_released(scene: Scene) -> Reply:
    scene.authorize()
    _release(scene).answer(pb.ReleaseResponse)
    return _settle(scene, "leg-1")


def _their_payer(scene: Scene) -> Reply:
    scene.other.put_payer("bob")
    reply = scene.authorize(payer_id="bob", to_number=AT_HOME)
    unknown = scene.authorize(payer_id="rob", to_number=AT_HOME, call_id="leg-2")
    answers = [r.answer(pb.AuthorizeResponse) for r in (reply, unknown)]
    for answer in answers:
        answer.ClearField("decided_time")
    assert answers[0] == answers[1]
    assert answers[0].reason == pb.REASON_PAYER_UNKNOWN
    return reply


def _read_their_payer(scene: Scene) -> Reply:
    scene.other.put_payer("bob")
    theirs, unknown = (
        scene.operate(accounts.GetPayerRequest(tenant_id=scene.site.tenant_id, payer_id=payer_id))
        for payer_id in ("bob", "rob")
    )
    assert theirs == unknown
    return theirs


def _stored(text: str) -> Row:
    """Free text is kept as it is and runs nowhere."""

    def ask(scene: Scene) -> Reply:
        payer = accounts.Payer(payer_id="bob", country="US", display_name=text)
        tenant_id = scene.site.tenant_id
        _done(scene, accounts.PutPayerRequest(tenant_id=tenant_id, payer=payer))
        block = accounts.BlockPayerRequest(tenant_id=tenant_id, payer_id="bob", reason=text)
        _done(scene, block)
        reply = _done(scene, accounts.GetPayerRequest(tenant_id=tenant_id, payer_id="bob"))
        stored = reply.answer(accounts.GetPayerResponse).payer
        assert (stored.display_name, stored.block_reason) == (text, text)
        return reply

    return Row(f"B53 B54 {text}", ask, "OK")


def _done(scene: Scene, request: Message) -> Reply:
    reply = scene.operate(request)
    assert reply.code.name == "OK", reply
    return reply


def _page(scene: Scene, size: int, token: str = "") -> Reply:
    return scene.operate(
        accounts.ListEntriesRequest(
            tenant_id=scene.site.tenant_id, page_size=size, page_token=token
        )
    )


def _their_token(scene: Scene) -> Reply:
    page = scene.operate(
        accounts.ListEntriesRequest(tenant_id=scene.other.tenant_id, page_size=1)
    ).answer(accounts.ListEntriesResponse)
    assert page.next_page_token
    return _page(scene, 1, page.next_page_token)
