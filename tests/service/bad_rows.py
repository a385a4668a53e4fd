"""The bad-input matrix as rows: what comes in, and what must be answered (reliability, 7).

Where the matrix and the contract use different words, the contract's stand here.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from service.raw import AUTHORIZATION, Raw, Reply, bearer
from service.site import LONDON, Site
from service.test_identity import request_of
from talktime.v1 import account_service_pb2 as accounts
from talktime.v1 import authorization_service_pb2 as pb

AUTHORIZE, QUOTE = AUTHORIZATION + "Authorize", AUTHORIZATION + "Quote"
INVALID, EXHAUSTED = "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"
FAILED, MISSING = "FAILED_PRECONDITION", "NOT_FOUND"
REFUSED, ANY = "refused", "any"
GROUP = b"\x9b\x06", b"\x9c\x06"  # field 99, its begin and its end


@dataclass(frozen=True)
class Scene:
    """A tenant with credits, another tenant with a call of its own, and a channel for bytes."""

    site: Site
    other: Site
    raw: Raw

    def authorize(self, **changes: Any) -> Reply:
        """A good Authorize, with changes."""
        return self.raw.ask(request_of(self.site, **changes))

    def operate(self, request: Message) -> Reply:
        """A request of the operator's."""
        return self.raw.ask(request, metadata=bearer(self.site.service.operator))


@dataclass(frozen=True)
class Row:
    """A row of the matrix.

    `code` is REFUSED where any refusal will do and ANY where the library may do as it likes. Where `library` is
    set it may answer before us, with the same code and no reason.
    """

    id: str
    ask: Callable[[Scene], Reply]
    code: str
    reason: str = ""
    moves: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    library: bool = False


def rows() -> Iterable[Row]:
    """Every row that a client's bytes or fields make."""
    yield from _garbage()
    yield from _fields()
    yield from _ids()
    yield from _numbers()
    yield from _amounts()
    yield from _sizes()


def _body(id: str, body: bytes, reason: str, **more: Any) -> Row:
    return Row(id, lambda s: s.raw.send(AUTHORIZE, body), INVALID, reason, **more)


def _garbage() -> Iterable[Row]:
    begin, end = GROUP
    yield _body("B1 random bytes", bytes(range(255, 200, -3)), "MALFORMED_MESSAGE")
    yield _body("B2 a varint cut short", b"\x40\xff", "MALFORMED_MESSAGE")
    yield _body(
        "B2 a varint of eleven bytes", b"\x40" + b"\xff" * 10 + b"\x01", "MALFORMED_MESSAGE"
    )
    yield _body("B2 field number 0", b"\x02\x01a", "MALFORMED_MESSAGE")
    yield _body("B3 a length beyond the end", b"\x12\x7fabc", "MALFORMED_MESSAGE")
    yield _body("B4 nothing at all", b"", "MISSING_FIELD")
    yield _body("B11 101 levels", begin * 101 + end * 101, "TOO_DEEP")
    yield _body("B11 5,000 levels", begin * 5000, "TOO_DEEP")
    for what, text in (("a lone byte", b"\xff"), ("an overlong NUL", b"\xc0\x80")):
        yield _body(f"B20 {what}", b"\x1a" + bytes([len(text)]) + text, "INVALID_UTF8")
    yield _body("B20 a lone surrogate", b"\x1a\x03\xed\xa0\x80", "INVALID_UTF8")


def _fields() -> Iterable[Row]:
    def with_bytes(scene: Scene, more: bytes, **changes: Any) -> Reply:
        body = request_of(scene.site, **changes).SerializeToString() + more
        return scene.raw.send(AUTHORIZE, body)

    def wrong_wire_type(scene: Scene) -> Reply:
        body = request_of(scene.site, payer_id="").SerializeToString()
        return scene.raw.send(AUTHORIZE, body + b"\x18\x01")

    yield Row("B5 a number where text should be", wrong_wire_type, INVALID, "MISSING_FIELD")
    yield Row("B7 a field twice: the last counts", _given_twice, "OK", moves=("HOLD",))
    yield Row(
        "B8 unknown fields", lambda s: with_bytes(s, b"\xda\x07\x03abc"), "OK", moves=("HOLD",)
    )
    yield Row(
        "B9 an unknown enum number", lambda s: s.authorize(call_type=99), INVALID, "UNKNOWN_ENUM"
    )
    yield Row("B10 an enum left out", lambda s: s.authorize(call_type=0), INVALID, "MISSING_FIELD")


def _given_twice(scene: Scene) -> Reply:
    """The body twice over, first with another payer; a repeat in one piece finds the same call."""
    first = request_of(scene.site, payer_id="nobody").SerializeToString()
    last = request_of(scene.site).SerializeToString()
    reply = scene.raw.send(AUTHORIZE, first + last)
    assert scene.authorize().answer(pb.AuthorizeResponse).replayed
    return reply


def _ids() -> Iterable[Row]:
    def call_id(id: str, text: str, reason: str) -> Row:
        return Row(
            id,
            lambda s: s.authorize(call_id=text),
            INVALID,
            reason,
            hidden=(text,) * (len(text) > 2),
        )

    def payer_id(id: str, text: str, reason: str = "BAD_CHARSET") -> Row:
        return Row(id, lambda s: s.authorize(payer_id=text), INVALID, reason, hidden=(text,))

    def name(id: str, text: str) -> Row:
        request = accounts.PutPayerRequest(payer=accounts.Payer(payer_id="bob", country="US"))
        request.payer.display_name = text
        return Row(id, lambda s: _named(s, request), INVALID, "BAD_CHARSET", hidden=(text,))

    for what, char in (("NUL", "\0"), ("CR", "\r"), ("LF", "\n"), ("tab", "\t"), ("ESC", "\x1b")):
        yield call_id(f"B21 {what} in a call's id", f"leg{char}1", "BAD_CHARSET")
        yield payer_id(f"B21 {what} in a payer's id", f"al{char}ice")
        yield name(f"B21 {what} in a name", f"Al{char}ice")
    for what, char in (("bidi override", "\u202e"), ("zero width", "\u200b"), ("BOM", "\ufeff")):
        yield payer_id(f"B22 {what} in an id", f"al{char}ice")
    for what, text in (("missing", ""), ("1 character", "x"), ("65 characters", "x" * 65)):
        yield call_id(f"B41 {what}", text, "BAD_REQUEST_ID")
    yield call_id("B41 spaces", "leg one", "BAD_REQUEST_ID")
    for char in "{}:*?[":
        yield call_id(f"B52 {char} in an id", f"leg{char}1", "BAD_CHARSET")
    yield payer_id("B52 a hash tag", "{s00}")
    for text in ("__proto__", "../etc/passwd", "a' OR 1=1--", "a%00b", "{{7*7}}", "${env}"):
        yield payer_id(f"B53 {text}", text)


def _named(scene: Scene, request: accounts.PutPayerRequest) -> Reply:
    request.tenant_id = scene.site.tenant_id
    return scene.operate(request)


def _numbers() -> Iterable[Row]:
    def to(id: str, number: str, reason: str = "NOT_E164") -> Row:
        hidden = (number,) * (len(number) > 3)
        return Row(id, lambda s: s.authorize(to_number=number), INVALID, reason, hidden=hidden)

    yield to("B22 a bidi override", "+44\u202e2079460018", "BAD_CHARSET")
    yield to("B22 a zero width space", "+44\u200b2079460018", "BAD_CHARSET")
    yield to("B22 a BOM", "\ufeff+442079460018", "BAD_CHARSET")
    yield to("B23 full-width digits", "+４４2079460018")  # noqa: RUF001  # just these are meant
    yield to("B23 Arabic-Indic digits", "+٤٤2079460018")
    for text in (
        LONDON[1:],
        "+44 2079460018",
        "+44-2079460018",
        "+44(0)2079460018",
        "00442079460018",
    ):
        yield to(f"B24 {text}", text)
    for text in ("+0442079460018", "+", "", "+44", "+4420794600181234", "+4" + "4" * 300):
        yield to(f"B25 {text[:20]!r} of {len(text)}", text)
    yield to("B26 a newline at the end", LONDON + "\n")
    for text in ("+1800FLOWERS", LONDON + ";ext=9", "tel:" + LONDON, "sip:alice@example.com"):
        yield to(f"B27 {text}", text)
    yield Row(
        "B24 the calling number too",
        lambda s: s.authorize(from_number="020 7946 0018"),
        INVALID,
        "NOT_E164",
        hidden=("020 7946 0018",),
    )


def _amounts() -> Iterable[Row]:
    def fund(id: str, amount: int) -> Row:
        return Row(
            id,
            lambda s: _fund(s, amount),
            INVALID,
            "OUT_OF_RANGE",
            hidden=(str(amount),) * (amount != 0),
        )

    def extend(id: str, seconds: int) -> Row:
        return Row(id, lambda s: _extend(s, seconds), INVALID, "OUT_OF_RANGE")

    def settle(id: str, seconds: int) -> Row:
        return Row(id, lambda s: _settle(s, seconds), INVALID, "OUT_OF_RANGE")

    yield fund("B32 no money", 0)
    yield extend("B32 an extension of nothing", 0)
    yield fund("B33 one less than nothing", -1)
    yield fund("B33 the least number", -(2**63))
    for amount in (10**12 + 1, 2**53, 2**63 - 1):
        yield fund(f"B34 {amount}", amount)
    for seconds in (-1, 86_401, 2**62, -(2**63)):
        yield settle(f"B38 a duration of {seconds}", seconds)
        yield extend(f"B38 an extension of {seconds}", seconds if seconds != 86_401 else 86_402)


def _fund(scene: Scene, amount: int) -> Reply:
    return scene.operate(
        accounts.AddFundsRequest(
            tenant_id=scene.site.tenant_id, funding_id="invoice-1", amount_micros=amount
        )
    )


def _extend(scene: Scene, seconds: int) -> Reply:
    return scene.raw.ask(
        pb.ExtendRequest(
            tenant_id=scene.site.tenant_id, call_id="old", sequence=1, additional_seconds=seconds
        )
    )


def _settle(scene: Scene, seconds: int) -> Reply:
    return scene.raw.ask(
        pb.SettleRequest(tenant_id=scene.site.tenant_id, call_id="old", duration_seconds=seconds)
    )


def _sizes() -> Iterable[Row]:
    def sent(id: str, body: bytes, *, library: bool = False) -> Row:
        reason = "MESSAGE_TOO_LARGE"
        return Row(id, lambda s: s.raw.send(AUTHORIZE, body), EXHAUSTED, reason, library=library)

    def many_licences(scene: Scene) -> Reply:
        payer = accounts.Payer(payer_id="bob", country="US", licenses=["MCOPSTN2"] * 21)
        return _named(scene, accounts.PutPayerRequest(payer=payer))

    def many_rows(scene: Scene) -> Reply:
        row = accounts.RateRow(prefix="44", destination="x", rate_per_minute_micros=1)
        part = accounts.PutRateDeckRequest(
            deck_version="d1", currency_code="EUR", rows=[row] * 2001
        )
        return scene.operate(part)

    yield sent("B12 a million items in a megabyte", b"\x0a\x00" * 500_000, library=True)
    yield Row("B12 21 licences", many_licences, INVALID, "TOO_MANY_ITEMS")
    yield Row("B12 2,001 rows", many_rows, INVALID, "TOO_MANY_ITEMS")
    yield sent("B13 17 KiB", b"\x12\x80\x88\x01" + b"x" * 17_408)
