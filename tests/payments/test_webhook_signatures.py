"""Standard Webhooks, proven with the specification's own package, and by changing every byte."""

import base64
from datetime import UTC, datetime

import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st

from talktime_server.payments.errors import BadSignature
from talktime_server.payments.signatures import SIGNATURE, TIMESTAMP, secret_bytes, sign, verify

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
KEY = secret_bytes(SECRET)
NOW_S = 1_790_000_000
BODY = b'{"type":"charge.succeeded"}'
HEADERS = sign(KEY, "msg_1", NOW_S, BODY)


@given(st.text("abc._-", min_size=1), st.text(), st.integers(0, 2**33))
def test_we_sign_as_the_package_does(message_id: str, text: str, at_s: int) -> None:
    theirs = standardwebhooks.Webhook(SECRET).sign(
        message_id, datetime.fromtimestamp(at_s, UTC), text
    )
    ours = sign(KEY, message_id, at_s, text.encode())
    assert ours[SIGNATURE] == theirs
    assert verify(KEY, ours, text.encode(), now_s=at_s) == message_id


def test_every_altered_byte_is_seen() -> None:
    """Of the body, the id, the timestamp and the signature; each byte, and each of its bits."""
    assert verify(KEY, HEADERS, BODY, now_s=NOW_S) == "msg_1"
    for bit in range(8):
        for at in range(len(BODY)):
            with pytest.raises(BadSignature):
                verify(KEY, HEADERS, flipped(BODY, at, bit), now_s=NOW_S)
        for name, value in HEADERS.items():
            for at in range(len(value)):
                altered = flipped(value.encode(), at, bit).decode("latin-1")
                with pytest.raises(BadSignature):
                    verify(KEY, HEADERS | {name: altered}, BODY, now_s=NOW_S)


def flipped(text: bytes, at: int, bit: int) -> bytes:
    return text[:at] + bytes([text[at] ^ (1 << bit)]) + text[at + 1 :]


@pytest.mark.parametrize(("away_s", "taken"), [(0, 1), (300, 1), (-300, 1), (301, 0), (-301, 0)])
def test_the_time_of_signing_counts(away_s: int, taken: int) -> None:
    if taken:
        assert verify(KEY, HEADERS, BODY, now_s=NOW_S + away_s)
        return
    with pytest.raises(BadSignature):
        verify(KEY, HEADERS, BODY, now_s=NOW_S + away_s)


def test_one_of_several_signatures_is_enough_while_a_secret_is_replaced() -> None:
    old = sign(bytes(32), "msg_1", NOW_S, BODY)
    both = HEADERS | {SIGNATURE: f"{old[SIGNATURE]} v2,x {HEADERS[SIGNATURE]}"}
    assert verify(KEY, both, BODY, now_s=NOW_S)
    many = HEADERS | {SIGNATURE: " ".join([*["v1,x"] * 10, HEADERS[SIGNATURE]])}
    with pytest.raises(BadSignature):
        verify(KEY, many, BODY, now_s=NOW_S)


@pytest.mark.parametrize("at", ["", "x", "-1", "1e9", "9" * 40, "²", f" {NOW_S}"])
def test_a_timestamp_is_seconds(at: str) -> None:
    with pytest.raises(BadSignature):
        verify(KEY, HEADERS | {TIMESTAMP: at}, BODY, now_s=NOW_S)


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_short", SECRET[:20], "whsec_" + "A" * 88, "whsec_!!"]
)
def test_a_weak_secret_is_refused_without_being_repeated(secret: str) -> None:
    with pytest.raises(ValueError, match="24 to 64 bytes") as refused:
        secret_bytes(secret)
    assert not secret.removeprefix("whsec_") or secret not in str(refused.value)
