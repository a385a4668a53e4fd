"""Messages made by hand are the bytes that protobuf would make."""

import random

import pytest

from talktime import frames
from talktime.operations import KINDS
from talktime.v1 import authorization_service_pb2 as pb

LENGTHS = (0, 1, 100, 127, 128, 129, 300, 5_000, 16_000)
MARKS = (1, 127, 128, 16_383, 16_384, 2**31, 2**63 - 1)


@pytest.mark.parametrize("kind", KINDS.values())
def test_a_message_reads_as_what_was_put_into_it(kind: str) -> None:
    asked = [(mark, "x" * length) for mark in MARKS for length in LENGTHS]
    random.Random(3).shuffle(asked)
    operations = []
    for mark, text in asked:
        operation = pb.Operation(correlation_id=mark)
        getattr(operation, kind).call_id = text
        getattr(operation, kind).SetInParent()
        operations.append(operation)
    framed = [
        frames.operation(kind, o.correlation_id, getattr(o, kind).SerializeToString())
        for o in operations
    ]
    whole = pb.ExchangeRequest(operations=operations)
    assert frames.message(framed) == whole.SerializeToString()
    assert pb.ExchangeRequest.FromString(frames.message(framed)) == whole
