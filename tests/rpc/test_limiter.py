"""The limiter refuses at its limit, keeps a part for settles, and forgets what has left."""

import pytest

from talktime_server.failure import TooMuch
from talktime_server.rpc.limiter import Limiter
from talktime_server.rpc.shapes import Lane

ORDINARY, ENDING = Lane.ORDINARY, Lane.ENDING


def fill(limiter: Limiter, tenant: str, lane: Lane, most: int = 1000) -> tuple[int, str]:
    """Enters until refused; says how many got in, and the word of the refusal."""
    for entered in range(most):
        try:
            limiter.enter(tenant, lane)
        except TooMuch as refused:
            return entered, refused.reason if refused.retry_after_s else "no delay"
    return most, ""


def test_the_process_limit_keeps_a_fifth_for_settles() -> None:
    limiter = Limiter(100, 1000, 20)
    assert fill(limiter, "", ORDINARY) == (80, "OVERLOADED")
    assert fill(limiter, "", ENDING) == (20, "OVERLOADED")
    assert limiter.in_flight == 100


def test_one_tenant_cannot_take_all() -> None:
    limiter = Limiter(100, 50, 20)
    assert fill(limiter, "a", ORDINARY) == (40, "TENANT_OVERLOADED")
    assert fill(limiter, "b", ORDINARY) == (40, "OVERLOADED")
    assert fill(limiter, "a", ENDING) == (10, "TENANT_OVERLOADED")
    assert fill(limiter, "b", ENDING) == (10, "OVERLOADED")


def test_a_refused_call_takes_no_slot_and_leaving_frees_one_for_every_wave() -> None:
    """A limit that holds for the first wave only is a known fault of others."""
    limiter = Limiter(10, 10, 0)
    for _ in range(4):
        assert fill(limiter, "a", ORDINARY) == (10, "OVERLOADED")
        for _ in range(10):
            limiter.leave("a")
        assert limiter.in_flight == 0


def test_leaving_more_often_than_entering_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        Limiter(10, 10, 20).leave("")


def test_a_limit_of_one_still_lets_one_in() -> None:
    assert fill(Limiter(1, 1, 20), "a", ORDINARY) == (1, "OVERLOADED")
