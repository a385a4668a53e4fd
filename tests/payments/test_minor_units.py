"""Micros to minor units and back: nothing is rounded, ever."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talktime_server.payments.errors import BadRequest
from talktime_server.payments.minor_units import (
    decimals,
    payable,
    smallest_micros,
    to_micros,
    to_minor,
)

CURRENCIES = ("USD", "EUR", "IDR", "CNY", "JPY", "KRW", "VND", "KWD", "BHD", "ISK", "UGX", "MGA")
AMOUNTS = st.integers(1, 10**12)


@pytest.mark.parametrize(
    ("amount_micros", "currency", "minor"),
    [
        (50_000_000, "USD", 5000),
        (10_000, "USD", 1),
        (1_000_000, "JPY", 1),
        (5000_000_000, "KRW", 5000),
        (75_000_000_000, "IDR", 7_500_000),
        (1_230_000, "KWD", 1230),
        (10_000, "BHD", 10),
        (3_000_000, "ISK", 300),
        (3_000_000, "UGX", 300),
        (3_000_000, "MGA", 3),
    ],
)
def test_an_amount_in_minor_units(amount_micros: int, currency: str, minor: int) -> None:
    assert to_minor(amount_micros, currency) == minor
    assert to_micros(minor, currency) == amount_micros


@pytest.mark.parametrize(
    ("amount_micros", "currency"),
    [
        (0, "USD"),
        (-10_000, "USD"),
        (1, "USD"),
        (10_001, "EUR"),
        (500_000, "JPY"),
        (10_000, "KRW"),
        (1000, "KWD"),
        (10_000, "ISK"),
        (999_999, "UGX"),
    ],
)
def test_what_is_no_whole_sum_is_refused(amount_micros: int, currency: str) -> None:
    assert not payable(amount_micros, currency)
    with pytest.raises(BadRequest) as refused:
        to_minor(amount_micros, currency)
    assert refused.value.reason == "AMOUNT_NOT_PAYABLE"
    assert refused.value.message == "the amount is not payable in its currency"


@given(AMOUNTS, st.sampled_from(CURRENCIES))
def test_there_and_back_is_the_same_amount_or_a_refusal(amount_micros: int, currency: str) -> None:
    if payable(amount_micros, currency):
        assert to_micros(to_minor(amount_micros, currency), currency) == amount_micros
    else:
        assert amount_micros % smallest_micros(currency)


@given(st.integers(1, 10**6), st.sampled_from(CURRENCIES))
def test_every_multiple_of_the_smallest_sum_is_payable(times: int, currency: str) -> None:
    assert to_minor(times * smallest_micros(currency), currency) > 0


def test_decimals_are_those_of_the_currency() -> None:
    told = {currency: decimals(currency) for currency in CURRENCIES}
    assert {c for c, n in told.items() if n == 0} == {"JPY", "KRW", "VND", "MGA"}
    assert {c for c, n in told.items() if n == 3} == {"KWD", "BHD"}
