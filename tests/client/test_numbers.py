"""Numbers as people write them become E.164, or are refused with the rule they break; none becomes another number."""

import random
from collections.abc import Iterator

import phonenumbers
import pytest
from phonenumbers import PhoneNumber, PhoneNumberFormat

from client import region_facts
from talktime import UnusableNumber, normalize
from talktime.numbers import regions

# Each row is what was written, where, and its E.164 form.
WRITTEN = [
    ("020 7946 0018", "GB", "+442079460018"),
    ("020 7946 0018", "gb", "+442079460018"),
    ("(020) 7946-0018", "GB", "+442079460018"),
    ("(0)20 7946 0018", "GB", "+442079460018"),
    ("20 7946 0018", "GB", "+442079460018"),
    ("+44 (0)20 7946 0018", None, "+442079460018"),
    ("+44 020 7946 0018", None, "+442079460018"),
    ("+44.20.7946.0018", None, "+442079460018"),
    ("+44\u00a020\u20117946\u20130018", None, "+442079460018"),
    (" +442079460018\n", None, "+442079460018"),
    ("tel:+44-20-7946-0018", None, "+442079460018"),
    ("TEL:+442079460018", None, "+442079460018"),
    ("0044 20 7946 0018", "FR", "+442079460018"),
    ("00 44 (0)20 7946 0018", "DE", "+442079460018"),
    ("011 44 20 7946 0018", "US", "+442079460018"),
    ("0011 44 20 7946 0018", "AU", "+442079460018"),
    ("8 10 44 20 7946 0018", "RU", "+442079460018"),
    ("010 44 20 7946 0018", "JP", "+442079460018"),
    ("030/123456", "DE", "+4930123456"),
    ("212-555-0123", "US", "+12125550123"),
    ("1 (212) 555-0123", "CA", "+12125550123"),
    ("8 (495) 123-45-67", "RU", "+74951234567"),
    ("8 800 555 35 35", "RU", "+78005553535"),
    ("800 555 35 35", "RU", "+78005553535"),
    ("+7 800 555 35 35", None, "+78005553535"),
    ("8 029 491-19-11", "BY", "+375294911911"),
    ("06 1 234 5678", "HU", "+3612345678"),
    # Italy and San Marino keep their zero.
    ("06 1234 5678", "IT", "+390612345678"),
    ("+39 06 1234 5678", None, "+390612345678"),
    ("+39 (0)6 1234 5678", None, "+390612345678"),
    ("0549 886377", "SM", "+3780549886377"),
    # Numbers of no country, and of no assigned one: the service judges them.
    ("+800 1234 5678", None, "+80012345678"),
    ("00 800 1234 5678", "GB", "+80012345678"),
    ("+999 1234567", None, "+9991234567"),
    # Emergency and short numbers.
    ("112", "GB", "112"),
    ("911", None, "911"),
    ("1 1 2", "GB", "112"),
    ("000", "AU", "000"),
    ("116 117", "DE", "116117"),
]

# Each row is what was written, where, and the rule it breaks.
REFUSED = [
    ("", "GB", "EMPTY"),
    ("  ", "GB", "EMPTY"),
    ("020 7946 0018", None, "NO_REGION"),
    ("020 7946 0018", "UK", "UNKNOWN_REGION"),
    ("+44 20 7946 0018;ext=12", None, "EXTENSION"),
    ("020 7946 0018 x12", "GB", "EXTENSION"),
    ("020 7946 0018 ext. 12", "GB", "EXTENSION"),
    ("020 7946 0018#12", "GB", "EXTENSION"),
    ("020 7946 0018,,12", "GB", "EXTENSION"),
    ("1-800-FLOWERS", "US", "LETTERS"),
    ("sip:+442079460018@example.net", None, "URI"),
    ("sips:112@example.net", None, "URI"),
    ("tel:020 7946 0018", "GB", "URI"),
    ("tel:+442079460018;phone-context=x.example", None, "URI"),
    ("+442079460018@example.net", None, "URI"),
    ("\uff0b\uff14\uff14 20 7946 0018", None, "BAD_CHARACTER"),
    ("+44\u0662\u0660 7946 0018", None, "BAD_CHARACTER"),
    ("\u202d+442079460018\u202c", None, "BAD_CHARACTER"),
    ("+44\n2079460018", None, "BAD_CHARACTER"),
    ("+4420\x007946", None, "BAD_CHARACTER"),
    ("++442079460018", None, "BAD_CHARACTER"),
    ("00+442079460018", "FR", "BAD_CHARACTER"),
    ("+", None, "BAD_CHARACTER"),
    ("*67 0207 946 0018", "GB", "BAD_CHARACTER"),
    ("+0442079460018", None, "BAD_CHARACTER"),
    ("+44112", None, "TOO_SHORT"),
    ("1", "GB", "WRONG_LENGTH"),
    ("+4420794600181234567", None, "TOO_LONG"),
    ("0" * 300, "GB", "TOO_LONG"),
    ("7946 0018", "GB", "WRONG_LENGTH"),
    ("555-0123", "US", "WRONG_LENGTH"),
    ("011 15-2345-6789", "AR", "WRONG_LENGTH"),
    ("0 15 11 98765-4321", "BR", "WRONG_LENGTH"),
]


@pytest.mark.parametrize(("text", "region", "e164"), WRITTEN)
def test_a_number_as_written_becomes_e164(text: str, region: str | None, e164: str) -> None:
    assert normalize(text, region) == e164


@pytest.mark.parametrize(("text", "region", "e164"), WRITTEN)
def test_a_normal_form_is_its_own(text: str, region: str | None, e164: str) -> None:
    assert normalize(e164, region) == e164


@pytest.mark.parametrize(("text", "region", "rule"), REFUSED)
def test_what_cannot_be_told_is_refused_by_rule(text: str, region: str | None, rule: str) -> None:
    with pytest.raises(ValueError, match=rule) as caught:
        normalize(text, region)
    assert isinstance(caught.value, UnusableNumber)
    assert caught.value.rule == rule


def test_a_refusal_never_repeats_the_number() -> None:
    with pytest.raises(UnusableNumber) as caught:
        normalize("020 7946 0018 x12", "GB")
    assert "7946" not in str(caught.value)


def test_the_table_is_what_the_library_says() -> None:
    """Written anew by `python tests/client/region_facts.py` when the library's facts have moved."""
    assert region_facts.TABLE.read_text("ascii") == region_facts.table()


def test_every_region_is_there() -> None:
    assert len(regions()) > 240


def examples() -> Iterator[tuple[str, PhoneNumber]]:
    """The library's example of every class in every region, and valid numbers beside it."""
    chance = random.Random(20)
    for region in regions():
        for number_type in phonenumbers.PhoneNumberType.values():
            example = phonenumbers.example_number_for_type(region, number_type)
            if example is not None:
                yield region, example
                yield from ((region, near) for near in neighbours(example, chance))


def neighbours(example: PhoneNumber, chance: random.Random) -> Iterator[PhoneNumber]:
    for _ in range(2):
        near = PhoneNumber()
        near.merge_from(example)
        near.national_number = (example.national_number or 0) // 1000 * 1000 + chance.randrange(
            1000
        )
        if phonenumbers.is_valid_number(near):
            yield near


def forms(region: str, number: PhoneNumber) -> Iterator[tuple[str, str]]:
    """The ways the library writes a number, each with the region in which one dials so."""
    for form in (PhoneNumberFormat.INTERNATIONAL, PhoneNumberFormat.RFC3966):
        yield phonenumbers.format_number(number, form), region
    yield phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL), region
    for abroad in ("GB", "US", "AU", "RU", "JP"):
        text = phonenumbers.format_out_of_country_calling_number(number, abroad)
        yield text.replace("~", ""), abroad


def test_thousands_of_numbers_agree_with_the_library() -> None:
    """In every form of every number: the library's E.164, or a refusal, or short as dialled; never another number."""
    agreed = other = 0
    for region, number in examples():
        e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
        for text, dialled_in in forms(region, number):
            got = normalized(text, dialled_in)
            assert not got.startswith("+") or got == e164, (text, dialled_in, got, e164)
            agreed += got == e164
            other += got != e164
    assert agreed > 20_000
    # Local service numbers, numbers of six digits and fewer, Argentine mobiles dialled with 15.
    assert other < agreed / 50


def normalized(text: str, region: str) -> str:
    try:
        return normalize(text, region)
    except UnusableNumber as error:
        return error.rule


def test_every_valid_e164_number_stays_as_it_is() -> None:
    for _, number in examples():
        e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
        assert normalized(e164, "GB") in (e164, "TOO_SHORT")
