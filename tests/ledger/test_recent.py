"""The dict with a bound: what is used stays, what comes last is kept, and it never holds more than it may."""

from hypothesis import given
from hypothesis import strategies as st

from talktime_server.ledger.recent import Recent

MOST = 100


def test_what_is_used_now_and_then_outlasts_any_number_of_passers_by() -> None:
    kept: Recent[str, int] = Recent(MOST)
    kept.put("regular", 0)
    for passer_by in range(100 * MOST):
        kept.put(f"once-{passer_by}", passer_by)
        if passer_by % (MOST - 1) == 0:
            assert kept.get("regular") == 0
        assert len(kept) <= 2 * MOST


def test_the_newest_are_kept_and_the_oldest_are_not() -> None:
    kept: Recent[int, int] = Recent(MOST)
    for number in range(10 * MOST):
        kept.put(number, number)
        assert len(kept._leaving) <= MOST
    found = [kept.get(number) for number in range(10 * MOST)]
    assert found[-MOST:] == list(range(9 * MOST, 10 * MOST))
    assert set(found[: 8 * MOST]) == {None}


def test_as_many_as_there_is_room_for_all_stay() -> None:
    kept: Recent[int, int] = Recent(MOST)
    for number in [*range(MOST), *range(MOST)]:
        kept.put(number, -number)
    assert [kept.get(number) for number in range(MOST)] == [-number for number in range(MOST)]


@given(st.integers(1, 6), st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=80))
def test_it_is_a_dict_that_may_forget(most: int, steps: list[tuple[bool, int]]) -> None:
    """What it tells is what was put last; what was put a moment ago is there; the bound holds."""
    kept: Recent[int, int] = Recent(most)
    plain: dict[int, int] = {}
    for moment, (puts, key) in enumerate(steps):
        if puts:
            kept.put(key, moment)
            plain[key] = moment
            assert kept.get(key) == moment
        else:
            assert kept.get(key) in (None, plain.get(key))
        assert len(kept) <= 2 * most
        assert len(kept) >= min(most, len(plain))
