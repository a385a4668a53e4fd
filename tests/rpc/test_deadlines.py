"""Only a method that takes long may take longer than two seconds: a router's questions stay short whatever it asks for."""

import pytest
from google.protobuf.message import Message

from talktime.v1.account_service_pb2 import GetBalanceRequest, GetBalanceResponse
from talktime_server.rpc.account_methods import READERS, account_method
from talktime_server.rpc.deadline import remaining_s
from talktime_server.rpc.shapes import (
    ADMIN_TIMEOUT_S,
    HOT_TIMEOUT_S,
    REPORT_TIMEOUT_S,
    Identity,
)


async def answer(request: Message, identity: Identity) -> GetBalanceResponse:
    return GetBalanceResponse()


PLAIN = account_method("GetBalance", GetBalanceRequest, READERS, answer)
REPORT = account_method(
    "GetUsageReport", GetBalanceRequest, READERS, answer, timeout_s=REPORT_TIMEOUT_S
)


@pytest.mark.parametrize(
    ("asked_s", "own_s", "given_s"),
    [
        (None, HOT_TIMEOUT_S, 0.25),
        (60.0, HOT_TIMEOUT_S, 2.0),
        (None, PLAIN.timeout_s, ADMIN_TIMEOUT_S),
        (60.0, PLAIN.timeout_s, 2.0),
        (None, REPORT.timeout_s, 30.0),
        (60.0, REPORT.timeout_s, 30.0),
        (0.5, REPORT.timeout_s, 0.5),
    ],
)
def test_a_method_takes_what_is_its_own(
    asked_s: float | None, own_s: float, given_s: float
) -> None:
    assert remaining_s(asked_s, own_s) == given_s
