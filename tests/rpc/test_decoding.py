"""What is wrong with bytes, and with the values of a message."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talktime.v1.authorization_service_pb2 import AuthorizeRequest, CallType, SettleRequest
from talktime_server.failure import Invalid
from talktime_server.rpc import pages
from talktime_server.rpc.decoding import Checks, decode, known_numbers
from talktime_server.rpc.refusals import masked, scrubbed
from talktime_server.rpc.shapes import Identity, Role
from talktime_server.rpc.wire import first_fault


def rule(check: str, *arguments: object, **more: object) -> str:
    """The rule that a check of one field blames; empty when the field is good."""
    checks = Checks()
    getattr(checks, check)("field", *arguments, **more)
    if not checks.violations:
        checks.done()
        return ""
    with pytest.raises(Invalid) as invalid:
        checks.done()
    assert invalid.value.reason == checks.violations[0].rule
    return checks.violations[0].rule


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("ab", ""),
        ("site1-0001", ""),
        ("a.b_c@d=e+f~g-h", ""),
        ("a" * 64, ""),
        # B41
        ("", "BAD_REQUEST_ID"),
        ("a", "BAD_REQUEST_ID"),
        ("a" * 65, "BAD_REQUEST_ID"),
        ("two words", "BAD_REQUEST_ID"),
        # B21, B22, B52, B53
        *[(f"ab{bad}cd", "BAD_CHARSET") for bad in "\0\r\n\t\x1b\u202e\u200b\ufeff{}:*?[%'\"é１"],
        ("ab\n", "BAD_CHARSET"),
        ("__proto__", "BAD_CHARSET"),
        ("../x", "BAD_CHARSET"),
        ("-ab", "BAD_CHARSET"),
    ],
)
def test_an_id_that_makes_an_operation_safe_to_repeat(value: str, expected: str) -> None:
    assert rule("call_id", value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a", ""),
        ("ann@example.com", ""),
        ("", "MISSING_FIELD"),
        ("a" * 65, "TOO_LONG"),
        ("a b", "BAD_CHARSET"),
        ("a\n", "BAD_CHARSET"),
        ("{a}", "BAD_CHARSET"),
    ],
)
def test_ids_are_of_their_alphabet_and_length(value: str, expected: str) -> None:
    assert rule("id", value) == expected
    assert rule("id", "", required=False) == ""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("+4420123", ""),
        ("+994501234567", ""),
        ("+123456789012345", ""),
        # B22
        ("+44201\u202e23456", "BAD_CHARSET"),
        ("\ufeff+4420123456", "BAD_CHARSET"),
        ("+4420\u200b123456", "BAD_CHARSET"),
        # B23 to B27
        ("+\uff14\uff1420123456", "NOT_E164"),
        ("+\u0664\u0664\u0662\u0660123456", "NOT_E164"),
        ("4420123456", "NOT_E164"),
        ("+44 20 123456", "NOT_E164"),
        ("+44-20-123456", "NOT_E164"),
        ("+44(0)20123456", "NOT_E164"),
        ("004420123456", "NOT_E164"),
        ("+0420123456", "NOT_E164"),
        ("+", "NOT_E164"),
        ("", "NOT_E164"),
        ("+123", "NOT_E164"),
        ("+1234567890123456", "NOT_E164"),
        ("+" + "1" * 300, "NOT_E164"),
        ("+4420123456\n", "NOT_E164"),
        ("+1800FLOWERS", "NOT_E164"),
        ("+4420123456;ext=5", "NOT_E164"),
        ("tel:+4420123456", "NOT_E164"),
    ],
)
def test_a_number(value: str, expected: str) -> None:
    assert rule("number", value) == expected
    assert rule("number", "", required=False) == ""


@pytest.mark.parametrize(
    ("check", "arguments", "expected"),
    [
        ("seconds", (0, 0, 86400), ""),
        ("seconds", (86400, 0, 86400), ""),
        ("seconds", (-1, 0, 86400), "OUT_OF_RANGE"),
        ("seconds", (86401, 0, 86400), "OUT_OF_RANGE"),
        ("micros", (0, 1, 10**12), "OUT_OF_RANGE"),
        ("micros", (10**12, 1, 10**12), ""),
        ("micros", (10**12 + 1, 1, 10**12), "OUT_OF_RANGE"),
        ("micros", (-(2**63), 1, 10**12), "OUT_OF_RANGE"),
        ("micros", (2**63 - 1, 1, 10**12), "OUT_OF_RANGE"),
        ("text", ("", 8), ""),
        ("text", ("Zoë 株式会社", 16), ""),
        ("text", ("a\u200db", 16), ""),
        ("text", ("a" * 9, 8), "TOO_LONG"),
        ("text", ("a\nb", 8), "BAD_CHARSET"),
        ("text", ("a\u202eb", 8), "BAD_CHARSET"),
        ("items", ([1] * 100, 100), ""),
        ("items", ([1] * 101, 100), "TOO_MANY_ITEMS"),
        ("present", (False,), "MISSING_FIELD"),
        ("present", (True,), ""),
        ("currency", ("EUR",), ""),
        ("currency", ("",), "MISSING_FIELD"),
        ("currency", ("eur",), "BAD_CHARSET"),
        ("country", ("GB",), ""),
        ("country", ("GBR",), "BAD_CHARSET"),
        ("page_size", (-1,), "OUT_OF_RANGE"),
    ],
)
def test_ranges_texts_and_lists(check: str, arguments: tuple[object, ...], expected: str) -> None:
    assert rule(check, *arguments) == expected


def test_an_enum_is_given_and_known() -> None:
    """Rows B9 and B10."""
    known = known_numbers(CallType)
    assert rule("enum", 2, known) == ""
    assert rule("enum", 0, known) == "MISSING_FIELD"
    assert rule("enum", 99, known) == "UNKNOWN_ENUM"
    assert rule("enum", 0, known, required=False) == ""


def test_a_page_is_capped() -> None:
    """Row B56."""
    sizes = [Checks().page_size("page_size", size) for size in (0, 1, 500, 501, 10**9)]
    assert sizes == [100, 1, 500, 500, 500]


def test_all_fields_are_blamed_at_once_and_no_value_is_quoted() -> None:
    checks = Checks()
    checks.call_id("call_id", "secret{}value")
    checks.number("to_number", "secret number")
    checks.tenant("tenant_id", "", Identity("o", Role.OPERATOR, all_tenants=True))
    with pytest.raises(Invalid) as invalid:
        checks.done()
    assert [v.field for v in invalid.value.violations] == ["call_id", "to_number", "tenant_id"]
    assert "secret" not in invalid.value.message


@settings(max_examples=500)
@given(st.binary(max_size=100))
def test_the_walker_ends_on_any_bytes_with_a_known_rule(body: bytes) -> None:
    fault = first_fault(body, SettleRequest)
    assert fault.rule in {"MALFORMED_MESSAGE", "INVALID_UTF8", "TOO_DEEP"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"\x9b\x06", "MALFORMED_MESSAGE"),  # a group that never ends
        (b"\x9c\x06", "MALFORMED_MESSAGE"),  # the end of no group
        (b"\x9b\x06\xa4\x06", "MALFORMED_MESSAGE"),  # the end of another group
        (b"\x0e", "MALFORMED_MESSAGE"),  # wire type 6
        (b"\x09\x00", "MALFORMED_MESSAGE"),  # half a fixed64
        (b"\x9b\x06" * 50 + b"\x12\x01\xff" + b"\x9c\x06" * 49, "MALFORMED_MESSAGE"),
        (b"\x22\x03\x12\x01\xff", "INVALID_UTF8"),
        (b"\x9b\x06" * 101, "TOO_DEEP"),
    ],
)
def test_each_fault_has_its_word(body: bytes, expected: str) -> None:
    with pytest.raises(Invalid) as invalid:
        decode(SettleRequest, body)
    assert invalid.value.reason == expected


def test_good_bytes_are_a_message() -> None:
    request = AuthorizeRequest(call_id="ab")
    assert decode(AuthorizeRequest, request.SerializeToString()) == request


KEY = b"k" * 32


def test_a_page_token_is_good_for_its_tenant_and_method_alone() -> None:
    token = pages.make(KEY, "acme", "ListEntries", "17-é")
    assert pages.read(KEY, "acme", "ListEntries", token) == "17-é"
    raw = list(token)
    raw[-5] = "A" if raw[-5] != "A" else "B"
    others = [
        (KEY, "other", "ListEntries", token),
        (KEY, "acme", "ListPayers", token),
        (KEY, "acmeL", "istEntries", token),
        (b"x" * 32, "acme", "ListEntries", token),
        (KEY, "acme", "ListEntries", "".join(raw)),
        (KEY, "acme", "ListEntries", ""),
        (KEY, "acme", "ListEntries", "٣ not base64"),
        (KEY, "acme", "ListEntries", "A" * 10_000),
    ]
    for other in others:
        with pytest.raises(Invalid) as invalid:
            pages.read(*other)
        assert invalid.value.reason == "BAD_PAGE_TOKEN"


def test_a_phone_number_is_never_shown_whole() -> None:
    assert masked("+994501234567") == "+99********67"
    assert masked("112") == "***"
    text = scrubbed("from +994501234567 with Bearer tt_ab_cdefgh and tt_ab_secret-x")
    assert text == "from +99********67 with [token] and [token]"
