"""When the clients ask again, how long they wait, and how they end."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest

import talktime
from client.lying_server import GRANTED, Hangs, LyingServer, failing
from talktime import (
    AsyncClient,
    Cancelled,
    Client,
    DeadlineExceeded,
    RetrySettings,
    Unavailable,
)
from talktime.ask import MAX_TIMEOUT_S
from talktime.retry import RetryBudget, wait_s

Code = grpc.StatusCode
Make = Callable[..., Any]
AWAY = failing(Code.UNAVAILABLE, "STORE_AWAY", outcome="NOT_APPLIED")
# gRPC rounds a timeout up to what a header's few digits can say.
ROUNDED = 1.02
SOON = RetrySettings(first_wait_s=0.001, longest_wait_s=0.002)


def test_an_unavailable_service_is_asked_again_with_the_same_bytes(
    make: Make, server: LyingServer
) -> None:
    server.script = [AWAY, AWAY, GRANTED]
    assert make().authorize("alice", "USER_OUT", "+442079460018").authorized
    assert len(server.seen) == 3
    assert len({seen.body for seen in server.seen}) == 1


def test_it_is_asked_three_times_and_no_more(make: Make, server: LyingServer) -> None:
    server.script = [AWAY]
    with pytest.raises(Unavailable) as caught:
        make(retry=SOON).authorize("alice", "USER_OUT", "+442079460018")
    assert len(server.seen) == caught.value.attempts == 3


@pytest.mark.parametrize("code", [c for c in Code if c not in (Code.OK, Code.UNAVAILABLE)])
def test_nothing_else_is_asked_again(make: Make, server: LyingServer, code: Code) -> None:
    server.script = [failing(code, "SOME_REASON", outcome="NOT_APPLIED"), GRANTED]
    with pytest.raises(talktime.TalktimeError):
        make().authorize("alice", "USER_OUT", "+442079460018")
    assert len(server.seen) == 1


def test_an_outage_adds_at_most_a_tenth_to_the_load(make: Make, server: LyingServer) -> None:
    server.script = [AWAY]
    face = make(retry=SOON)
    for _ in range(100):
        with pytest.raises(Unavailable):
            face.authorize("alice", "USER_OUT", "+442079460018")
    assert 100 < len(server.seen) <= 110


def test_the_budget_comes_back_with_successes() -> None:
    budget = RetryBudget(RetrySettings())
    for _ in range(20):
        budget.failed()
    assert not budget.allows
    for _ in range(50):
        budget.succeeded()
    assert not budget.allows
    budget.succeeded()
    assert budget.allows


def test_waits_double_with_jitter_up_to_the_longest() -> None:
    settings = RetrySettings()
    for failures, longest_s in ((1, 0.02), (2, 0.04), (3, 0.08), (4, 0.16), (5, 0.2), (5000, 0.2)):
        waits = [wait_s(settings, failures) for _ in range(200)]
        assert longest_s / 2 <= min(waits) < max(waits) <= longest_s


def test_the_deadline_covers_all_attempts(make: Make, server: LyingServer) -> None:
    """The second attempt has only what the first one and the wait have left."""
    server.script = [AWAY, Hangs()]
    face = make(timeout_s=0.9, retry=RetrySettings(first_wait_s=0.2, longest_wait_s=0.2))
    began_s = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        face.authorize("alice", "USER_OUT", "+442079460018")
    assert time.monotonic() - began_s < 1.9
    assert server.seen[1].left_s < server.seen[0].left_s <= 0.9 * ROUNDED


def test_a_slow_service_is_not_waited_for(make: Make, server: LyingServer) -> None:
    server.script = [GRANTED, Hangs()]
    face = make(timeout_s=2.0)
    face.authorize("alice", "USER_OUT", "+442079460018")
    began_s = time.monotonic()
    with pytest.raises(DeadlineExceeded) as caught:
        face.authorize("alice", "USER_OUT", "+442079460018", timeout_s=0.5)
    assert time.monotonic() - began_s < 1.9
    assert caught.value.outcome is talktime.Applied.UNKNOWN
    assert len(server.seen) == 2


def test_an_attempt_has_its_own_limit(make: Make, server: LyingServer) -> None:
    make(retry=RetrySettings(attempt_timeout_s=1.0)).authorize("alice", "USER_OUT", "+442079460018")
    assert server.seen[0].left_s <= 1.0 * ROUNDED


def test_what_takes_long_by_nature_has_its_time_for_one_attempt(
    make: Make, server: LyingServer
) -> None:
    """An activation reads a deck of any size; two seconds may be too few for it."""
    server.script = [AWAY, AWAY, AWAY]
    with pytest.raises(Unavailable):
        make().activate_rate_deck("v1", 300_000)
    assert {seen.left_s > 2 * MAX_TIMEOUT_S for seen in server.seen} == {True}


def test_a_wait_the_service_asks_for_is_kept_or_not_begun(make: Make, server: LyingServer) -> None:
    """It asks for five seconds, and the call has two: the error comes at once."""
    retry = talktime.v1.status_pb2.RetryInfo()
    retry.retry_delay.FromSeconds(5)
    server.script = [failing(Code.UNAVAILABLE, "DRAINING", retry, outcome="NOT_APPLIED"), GRANTED]
    began_s = time.monotonic()
    with pytest.raises(Unavailable):
        make(timeout_s=2.0).authorize("alice", "USER_OUT", "+442079460018")
    assert time.monotonic() - began_s < 1.9
    assert len(server.seen) == 1


def test_the_default_deadline_is_a_quarter_of_a_second(server: LyingServer) -> None:
    with Client(server.target, "secret") as client:
        client.get_balance()
        client.authorize("alice", "USER_OUT", "+442079460018")
    admin, hot = (seen.left_s for seen in server.seen)
    assert 0 < hot <= 0.25 * ROUNDED < admin <= 2.0 * ROUNDED


def test_a_restarted_service_is_found_again_soon(make: Make, server: LyingServer) -> None:
    """Without our reconnect settings the channel would still be backing off for a second and more."""
    face = make(timeout_s=1.0)
    assert face.authorize("alice", "USER_OUT", "+442079460018").authorized
    server.stop()
    for _ in range(8):
        with pytest.raises(Unavailable):
            face.authorize("alice", "USER_OUT", "+442079460018")
    server.start()
    began_s = time.monotonic()
    while not _granted(face):
        assert time.monotonic() - began_s < 1.5
    assert time.monotonic() - began_s < 1.5


def _granted(face: Any) -> bool:
    try:
        return bool(face.authorize("alice", "USER_OUT", "+442079460018").authorized)
    except (Unavailable, DeadlineExceeded):
        return False


def test_a_closed_client_asks_nothing(make: Make, server: LyingServer) -> None:
    face = make()
    face.close()
    with pytest.raises(RuntimeError, match="closed"):
        face.authorize("alice", "USER_OUT", "+442079460018")


def test_closing_ends_a_blocking_call_under_way(server: LyingServer) -> None:
    server.script = [Hangs()]
    client = Client(server.target, "secret", timeout_s=2.0)

    def close_while_asking() -> None:
        _until(lambda: bool(server.seen))
        client.close()

    closer = threading.Thread(target=close_while_asking)
    closer.start()
    with pytest.raises(Cancelled):
        client.authorize("alice", "USER_OUT", "+442079460018")
    closer.join()


async def test_closing_ends_an_awaited_call_under_way(server: LyingServer) -> None:
    server.script = [Hangs()]
    client = AsyncClient(server.target, "secret", timeout_s=2.0)
    asking = asyncio.create_task(client.authorize("alice", "USER_OUT", "+442079460018"))
    await asyncio.to_thread(_until, lambda: bool(server.seen))
    await client.close()
    with pytest.raises(Cancelled) as caught:
        await asking
    assert caught.value.outcome is talktime.Applied.UNKNOWN


async def test_a_cancelled_task_is_cancelled_and_asks_no_more(server: LyingServer) -> None:
    server.script = [Hangs()]
    async with AsyncClient(server.target, "secret", timeout_s=2.0) as client:
        asking = asyncio.create_task(client.authorize("alice", "USER_OUT", "+442079460018"))
        await asyncio.to_thread(_until, lambda: bool(server.seen))
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    assert len(server.seen) == 1


def _until(true: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 5
    while not true():
        assert time.monotonic() < end_s
        threading.Event().wait(0.005)


@pytest.mark.parametrize(
    "settings",
    [
        {"attempts": 0},
        {"first_wait_s": 0.3},
        {"first_wait_s": -1.0},
        {"attempt_timeout_s": 0.0},
        {"budget_tokens": -1.0},
        {"budget_ratio": -1.0},
    ],
)
def test_retry_settings_that_cannot_work_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        RetrySettings(**settings)


def test_one_attempt_means_none_again(make: Make, server: LyingServer) -> None:
    server.script = [AWAY, GRANTED]
    with pytest.raises(Unavailable):
        make(retry=RetrySettings(attempts=1)).authorize("alice", "USER_OUT", "+442079460018")
    assert len(server.seen) == 1


def test_a_token_never_goes_over_a_connection_that_is_not_secured_as_asked(
    make: Make, server: LyingServer
) -> None:
    with pytest.raises(Unavailable) as caught:
        make(credentials=grpc.ssl_channel_credentials()).authorize("alice", "USER_OUT", "112")
    assert caught.value.outcome is talktime.Applied.NOT_APPLIED
    assert server.seen == []
