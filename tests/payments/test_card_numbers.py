"""No card number is accepted anywhere: not as a token, and not in a text (reliability.md B82)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talktime_server.payments.card import looks_like_card
from talktime_server.payments.gateway import Intent, PaymentMethod

# The numbers that card networks publish for tests.
CARDS = (
    "4111111111111111",
    "4222222222222",
    "5555555555554444",
    "378282246310005",
    "30569309025904",
    "6011111111111117",
    "3530111333300000",
    "6205500000000000004",
)


@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "order 17: {} until 12/27",
        "card={};",
        "x{}y",
        "(4) {}.",
        "2025 {} 123",
    ],
)
def test_a_card_number_is_seen_in_any_text(card: str, text: str) -> None:
    assert looks_like_card(text.format(card))


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "3782 822463 10005",
        "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
        "4111\u00a01111\u20131111\u20141111",
        "\uff14" + 15 * "\uff11",
        "4111\n1111\n1111\n1111",
        "4111 - 1111 - 1111 - 1111",
        "call 12 4111 1111 1111 1111 now",
    ],
)
def test_spaces_dashes_and_wide_digits_hide_nothing(text: str) -> None:
    assert looks_like_card(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "credits for May",
        "4111111111111112",
        "+1 425 555 0100",
        "411111111111",
        "41111111111111111111",
        "pi_3Nabc4111",
        "4111, 1111, 1111, 1111",
        "invoice 2026-11-21 of 10500000",
    ],
)
def test_what_is_no_card_number_passes(text: str) -> None:
    assert not looks_like_card(text)


@given(st.text(alphabet="0123456789", min_size=12, max_size=18))
def test_of_ten_last_digits_exactly_one_is_refused(front: str) -> None:
    """The Luhn digit of a number is one and only."""
    assert sum(looks_like_card(f"{front}{last}") for last in range(10)) == 1


@given(st.sampled_from(CARDS), st.data())
def test_grouping_hides_no_card(card: str, draw: st.DataObject) -> None:
    separators = st.sampled_from(["", " ", "-", " - ", "\t"])
    assert looks_like_card("".join(digit + draw.draw(separators) for digit in card))


@given(st.text())
def test_any_text_can_be_asked_about(text: str) -> None:
    assert looks_like_card(text) in (True, False)


@pytest.mark.parametrize("field", ["gateway", "customer", "token"])
@pytest.mark.parametrize(
    "value", ["4111111111111111", "4111-1111-1111-1111", "", "a b", "x" * 129, "tok\n", "tök"]
)
def test_a_payment_method_holds_references_only(field: str, value: str) -> None:
    """And its refusal does not repeat what was refused."""
    fields = {"gateway": "stripe", "customer": "cus_1", "token": "pm_1"}
    with pytest.raises(ValueError, match=f"^{field}: ") as refused:
        PaymentMethod(**(fields | {field: value}))
    assert not value or value not in str(refused.value)


def test_a_charge_id_is_an_id() -> None:
    method = PaymentMethod("stripe", "cus_1", "pm_1")
    assert Intent("a@b.c=+~-_:1", "a", 1, "USD", method).charge_id
    for wrong in ("", "a'b", "a b", "x" * 129, ":a"):
        with pytest.raises(ValueError, match="charge_id"):
            Intent(wrong, "a", 1, "USD", method)
