"""gRPC's framing, byte by byte."""

import base64

import pytest

from talktime_server.failure import Broken, Code, Failure, NotServed, TooMuch
from talktime_server.rpc.framing import (
    MESSAGE_BYTES,
    Frames,
    framed,
    status_headers,
    timeout_s,
    whole_message,
)
from talktime_server.rpc.shapes import Reply


def test_messages_are_cut_from_any_pieces() -> None:
    stream = framed(b"one") + framed(b"") + framed(b"three")
    for size in range(1, len(stream) + 1):
        frames, seen = Frames(b""), []
        for at in range(0, len(stream), size):
            frames.feed(stream[at : at + size])
            while (message := frames.next()) is not None:
                seen.append(message)
        assert seen == [b"one", b"", b"three"]
        assert frames.empty


def test_only_exactly_one_plain_message_takes_the_short_way() -> None:
    assert whole_message(framed(b"one")) == b"one"
    for other in (b"", b"\0\0\0\0", framed(b"one") + b"x", framed(b"one")[:-1], b"\1\0\0\0\0"):
        assert whole_message(other) is None


@pytest.mark.parametrize(
    ("prefix", "encoding", "kind"),
    [
        (b"\0\xff\xff\xff\xff", b"", TooMuch),
        (b"\0" + (MESSAGE_BYTES + 1).to_bytes(4, "big"), b"", TooMuch),
        (b"\1\xff\xff\xff\xff", b"gzip", TooMuch),
        (b"\1\0\0\0\1", b"", Broken),
        (b"\1\0\0\0\1", b"identity", Broken),
        (b"\1\0\0\0\1", b"gzip", NotServed),
    ],
)
def test_a_prefix_that_breaks_a_rule_is_refused_before_its_message(
    prefix: bytes, encoding: bytes, kind: type[Failure]
) -> None:
    frames = Frames(encoding)
    frames.feed(prefix)
    with pytest.raises(kind):
        frames.next()


@pytest.mark.parametrize(
    ("value", "expected_s"),
    [
        (None, None),
        (b"", None),
        (b"250m", 0.25),
        (b"2S", 2.0),
        (b"1M", 60.0),
        (b"99999999H", 99999999 * 3600.0),
        (b"0n", 0.0),
        (b"1500u", 0.0015),
        (b"-1S", None),
        (b"1.5S", None),
        (b"S", None),
        (b"10", None),
        (b"10x", None),
        (b"\xd9\xa3S", None),
        (b"9" * 400 + b"H", None),
    ],
)
def test_a_timeout_is_read_or_ignored(value: bytes | None, expected_s: float | None) -> None:
    assert timeout_s(value) == expected_s


def test_a_status_survives_http() -> None:
    headers = dict(status_headers(Reply(Code.NOT_FOUND, "100 %\n☎", b"", b"\0\xff?")))
    assert headers[b"grpc-status"] == b"5"
    assert headers[b"grpc-message"] == b"100 %25%0A%E2%98%8E"
    assert base64.b64decode(headers[b"grpc-status-details-bin"] + b"==") == b"\0\xff?"
    assert b"=" not in headers[b"grpc-status-details-bin"]
    assert status_headers(Reply(Code.OK)) == [(b"grpc-status", b"0")]
