"""The latch of a level against a plainer idea of it, over movements that nobody would think of."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from talktime_server.notices.latches import Fill, Latches, hysteresis, low_name, pool_name

LEVEL = 50_000_000
NEAR = st.integers(LEVEL - 5_000_000, LEVEL + 5_000_000)
AMOUNTS = NEAR | st.integers(-(10**9), 10**9)


@given(st.lists(AMOUNTS, min_size=2), st.integers(0, 30))
def test_a_level_tells_once_and_again_only_when_it_was_well_above(
    amounts: list[int], saved_after: int
) -> None:
    latches, told, armed = Latches({}), [], True
    for step, (before, after) in enumerate(pairwise(amounts)):
        if step == saved_after:  # what is kept between two batches is all there is to it
            latches = Latches({low_name(LEVEL): 1} if latches.closed else {})
        armed = armed or after > LEVEL + hysteresis(LEVEL)
        due = armed and before >= LEVEL > after
        armed = armed and not due
        told.append(due)
        assert latches.fell(low_name(LEVEL), LEVEL, before, after) is due
    between = [max(amounts[a + 1 : b + 1], default=0) for a, b in _pairs(told)]
    assert all(highest > LEVEL * 105 // 100 for highest in between)


@given(st.lists(st.integers(0, 4000), min_size=1), st.integers(1, 3000))
def test_a_pool_tells_once_and_again_only_after_five_points_less(
    uses: list[int], size: int
) -> None:
    latches, name, armed = Latches({}), pool_name(80, "US/MCOPSTN1", 202611), True
    for used in uses:
        armed = armed or used * 100 < 75 * size
        due = armed and used * 100 >= 80 * size
        armed = armed and not due
        assert latches.filled(name, 80, Fill(used, size)) is due


@given(st.integers(1, 10**15))
def test_the_gap_to_arming_is_five_percent_and_a_unit_at_least(level: int) -> None:
    assert hysteresis(level) == max(level // 20, 1_000_000)


def _pairs(told: list[bool]) -> list[tuple[int, int]]:
    """Steps between one telling and the next."""
    at = [step for step, due in enumerate(told) if due]
    return list(pairwise(at))
