"""The outside number loses its last digits by the tenant's country, and by nobody else's (domain.md 7)."""

import pytest

from talktime_server.archive.masking import masked, masked_digits, shown
from talktime_server.decision import catalog
from talktime_server.words import CallType

THREE = {"BE", "DE", "DK", "ES", "FI", "IT", "NL", "NO", "SE"}
FOUR = {"CH", "FR"}
OURS, THEIRS = "+498912345678", "+442071838750"


@pytest.mark.parametrize("country", sorted(catalog.countries()))
def test_each_country_masks_what_its_law_asks_for(country: str) -> None:
    expected = 3 if country in THREE else 4 if country in FOUR else 0
    assert masked_digits(country) == expected


@pytest.mark.parametrize("call_type", CallType)
def test_only_the_outside_number_is_masked(call_type: CallType) -> None:
    numbers = shown(OURS, THEIRS, call_type, 3)
    if call_type.inbound:
        assert numbers == ("+498912345***", THEIRS)
    else:
        assert numbers == (OURS, "+442071838***")


@pytest.mark.parametrize("number", ["", "112", "911"])
def test_a_number_for_help_and_none_at_all_are_shown_whole(number: str) -> None:
    assert masked(number, 4) == number


def test_the_shortest_number_keeps_its_length() -> None:
    assert masked("+1234567", 4) == "+123****"
