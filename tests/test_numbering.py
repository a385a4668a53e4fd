"""What a number is: its form, its class and country, and which numbers call for help."""

import random
import re
from collections import Counter
from collections.abc import Iterator

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phonenumbers import PhoneMetadata, PhoneNumberFormat, PhoneNumberType

from talktime_server.decision.catalog import number_plan
from talktime_server.decision.facts.derive import PHONENUMBERS_VERSION, SHARED_COST_IN_GB
from talktime_server.decision.facts.digit_patterns import START, Machine
from talktime_server.decision.numbering import NumberPlan, PrefixClass, is_e164
from talktime_server.words import NumberClass

PLAN = number_plan()

NUMBERS_PER_CLASS = 2_000

LIBRARY_CLASSES = {
    PhoneNumberType.PREMIUM_RATE: NumberClass.PREMIUM,
    PhoneNumberType.TOLL_FREE: NumberClass.TOLL_FREE,
    PhoneNumberType.SHARED_COST: NumberClass.SHARED_COST,
}

# Where a prefix does not tell what the library tells, by calling code, and why.
TOLD_APART_BY_LENGTH = "a short and a long number begin alike; the prefix goes by the more numerous"
DIFFERENCES = {
    1: "+1 310 with seven digits in all is a Canadian service; with ten it is Los Angeles",
    44: "the published shared-cost list comes before the library's premium",
    56: TOLD_APART_BY_LENGTH,
    376: TOLD_APART_BY_LENGTH,
    508: TOLD_APART_BY_LENGTH,
    678: TOLD_APART_BY_LENGTH,
    681: TOLD_APART_BY_LENGTH,
}


@pytest.mark.parametrize("text", ["+1234567", "+14165550123", "+442071838750", "+123456789012345"])
def test_e164_is_a_plus_and_seven_to_fifteen_digits(text: str) -> None:
    assert is_e164(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+",
        "112",
        "+123",
        "+123456",
        "+1234567890123456",
        "+" + "1" * 300,
        "+0442071838750",
        "442071838750",
        "00442071838750",
        "+44 2071838750",
        "+44-2071838750",
        "+44(0)2071838750",
        "+442071838750\n",
        " +442071838750",
        "+442071838750;ext=1",
        "tel:+442071838750",
        "+1800FLOWERS",
        "\uff0b442071838750",
        "+\uff14\uff14\uff12\uff10\uff17\uff11\uff18\uff13",
        "+\u0664\u0664\u0662\u0660\u0667\u0661\u0668\u0663",
        "+44207183\u200b8750",
        "\u202e+442071838750",
        "\ufeff+442071838750",
        "+44207183875\u00b2",
    ],
)
def test_anything_else_is_not_e164(text: str) -> None:
    assert not is_e164(text)


@pytest.mark.parametrize(
    ("text", "country", "number_class"),
    [
        ("+12125550123", "US", NumberClass.ORDINARY),
        ("+14165550123", "CA", NumberClass.ORDINARY),
        ("+17875550123", "PR", NumberClass.ORDINARY),
        ("+19395550123", "PR", NumberClass.ORDINARY),
        ("+12425550123", "BS", NumberClass.ORDINARY),
        ("+18095550123", "DO", NumberClass.ORDINARY),
        ("+16715550123", "GU", NumberClass.ORDINARY),
        ("+18765550123", "JM", NumberClass.ORDINARY),
        ("+18005550123", "US", NumberClass.TOLL_FREE),
        ("+18885550123", "US", NumberClass.TOLL_FREE),
        ("+18775550123", "US", NumberClass.TOLL_FREE),
        ("+18665550123", "US", NumberClass.TOLL_FREE),
        ("+18777550123", "US", NumberClass.TOLL_FREE),
        ("+18445550123", "US", NumberClass.TOLL_FREE),
        ("+18335550123", "US", NumberClass.TOLL_FREE),
        ("+19005550123", "US", NumberClass.PREMIUM),
        ("+442071838750", "GB", NumberClass.ORDINARY),
        ("+447400123456", "GB", NumberClass.ORDINARY),
        ("+443331234567", "GB", NumberClass.ORDINARY),
        ("+447624123456", "IM", NumberClass.ORDINARY),
        ("+441624756789", "IM", NumberClass.ORDINARY),
        ("+441534456789", "JE", NumberClass.ORDINARY),
        ("+441481256789", "GG", NumberClass.ORDINARY),
        ("+448001234567", "GB", NumberClass.TOLL_FREE),
        ("+448081234567", "GB", NumberClass.TOLL_FREE),
        ("+448431234567", "GB", NumberClass.SHARED_COST),
        ("+448441234567", "GB", NumberClass.SHARED_COST),
        ("+448451234567", "GB", NumberClass.SHARED_COST),
        ("+448701234567", "GB", NumberClass.SHARED_COST),
        ("+448711234567", "GB", NumberClass.SHARED_COST),
        ("+448721234567", "GB", NumberClass.SHARED_COST),
        ("+448421234567", "GB", NumberClass.PREMIUM),
        ("+449012345678", "GB", NumberClass.PREMIUM),
        ("+449512345678", "GB", NumberClass.PREMIUM),
        ("+33123456789", "FR", NumberClass.ORDINARY),
        ("+33801234567", "FR", NumberClass.TOLL_FREE),
        ("+33892345678", "FR", NumberClass.PREMIUM),
        ("+33899345678", "FR", NumberClass.PREMIUM),
        ("+33810345678", "FR", NumberClass.SHARED_COST),
        ("+43900123456", "AT", NumberClass.PREMIUM),
        ("+43810123456", "AT", NumberClass.SHARED_COST),
        ("+79161234567", "RU", NumberClass.ORDINARY),
        ("+77012345678", "KZ", NumberClass.ORDINARY),
        ("+390669812345", "VA", NumberClass.ORDINARY),
        ("+390612345678", "IT", NumberClass.ORDINARY),
        ("+4779123456", "SJ", NumberClass.ORDINARY),
        ("+358181234567", "AX", NumberClass.ORDINARY),
        ("+80012345678", "001", NumberClass.TOLL_FREE),
        ("+80812345678", "001", NumberClass.SHARED_COST),
        ("+870773111632", "001", NumberClass.ORDINARY),
        ("+881612345678", "001", NumberClass.ORDINARY),
        ("+979123456789", "001", NumberClass.PREMIUM),
        ("+999123456789", "", NumberClass.ORDINARY),
    ],
)
def test_the_longest_prefix_tells_class_and_country(
    text: str, country: str, number_class: NumberClass
) -> None:
    number = PLAN.classify(text)
    assert (number.text, number.country, number.number_class) == (text, country, number_class)


@pytest.mark.parametrize("number_class", [c for c in NumberClass if c != NumberClass.EMERGENCY])
def test_prefixes_agree_with_the_library_where_a_prefix_can(number_class: NumberClass) -> None:
    assert phonenumbers.__version__ == PHONENUMBERS_VERSION, "the facts are of another version"
    numbers = _numbers_of(number_class)
    differences = Counter(_calling_code(n) for n in numbers if not _agrees(n))
    assert len(numbers) >= NUMBERS_PER_CLASS
    assert set(differences) <= set(DIFFERENCES)
    unexplained = differences.total() - differences[44]
    assert unexplained <= len(numbers) / 100


def test_only_the_shared_cost_list_differs_in_the_united_kingdom() -> None:
    british = (n for n in _numbers_of(NumberClass.PREMIUM) if n.startswith("+44"))
    different = [number for number in british if not _agrees(number)]
    assert all(number[1:].startswith(SHARED_COST_IN_GB) for number in different)


def _agrees(text: str) -> bool:
    number = PLAN.classify(text)
    return (number.number_class, number.country) == _library_verdict(text)


def _library_verdict(text: str) -> tuple[NumberClass, str] | None:
    """What the library says of a valid number in its one E.164 form, None of any other text."""
    parsed = phonenumbers.parse(text)
    kind = phonenumbers.number_type(parsed)
    if kind == PhoneNumberType.UNKNOWN or _written(parsed) != text:
        return None
    country = phonenumbers.region_code_for_number(parsed)
    assert country is not None
    return LIBRARY_CLASSES.get(kind, NumberClass.ORDINARY), country


def _numbers_of(number_class: NumberClass) -> list[str]:
    """Valid numbers of a class: the library's examples, and wanderings from them digit by digit."""
    chance = random.Random(f"numbers of {number_class}")
    walkers = [text for text in _examples() if _is_of(text, number_class)]
    found = dict.fromkeys(walkers)
    while len(found) < NUMBERS_PER_CLASS + len(walkers):
        at = chance.randrange(len(walkers))
        changed = _changed(walkers[at], chance)
        if _is_of(changed, number_class):
            walkers[at] = changed
            found[changed] = None
    return list(found)


def _is_of(text: str, number_class: NumberClass) -> bool:
    verdict = _library_verdict(text)
    return verdict is not None and verdict[0] == number_class


def _examples() -> Iterator[str]:
    kinds = PhoneNumberType.values()
    for country in sorted(phonenumbers.SUPPORTED_REGIONS):
        examples = (phonenumbers.example_number_for_type(country, kind) for kind in kinds)
        yield from (_written(example) for example in examples if example)
    for code in sorted(phonenumbers.COUNTRY_CODES_FOR_NON_GEO_REGIONS):
        example = phonenumbers.example_number_for_non_geo_entity(code)
        if example:
            yield _written(example)


def _changed(text: str, chance: random.Random) -> str:
    """Up to six digits after the calling code changed."""
    digits = list(text)
    national = len(str(_calling_code(text))) + 1
    for _ in range(chance.randint(1, 6)):
        digits[chance.randrange(national, len(digits))] = chance.choice("0123456789")
    return "".join(digits)


def _calling_code(text: str) -> int:
    code = phonenumbers.parse(text).country_code
    assert code is not None
    return code


def _written(number: phonenumbers.PhoneNumber) -> str:
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


@pytest.mark.parametrize(
    ("text", "country", "calls_for_help"),
    [
        ("112", "GB", True),
        ("999", "GB", True),
        ("911", "GB", False),
        ("911", "US", True),
        ("112", "US", True),
        ("933", "US", False),
        ("10111", "ZA", True),
        ("90000", "SE", True),
        ("9999", "OM", True),
        ("+1911", "US", False),
        ("+112", "GB", False),
        ("9111", "US", False),
        ("911\n", "US", False),
        ("\uff11\uff11\uff12", "GB", False),
        ("", "GB", False),
        ("+12125550123", "US", False),
        # Nothing is known of Antarctica, so that any country's number must do.
        ("911", "AQ", True),
        ("112", "AQ", True),
        ("777", "AQ", False),
    ],
)
def test_which_number_calls_for_help_depends_on_the_country(
    text: str, country: str, calls_for_help: bool
) -> None:
    assert PLAN.is_emergency(text, country) is calls_for_help


def test_without_a_country_any_countrys_emergency_number_counts() -> None:
    assert PLAN.is_emergency_anywhere("112")
    assert PLAN.is_emergency_anywhere("911")
    assert not PLAN.is_emergency_anywhere("777")
    assert not PLAN.is_emergency_anywhere("+442071838750")


def test_no_emergency_number_is_e164() -> None:
    """So that the two forms of a called number can never be taken for each other."""
    numbers = [f"{n:0{length}d}" for length in range(2, 7) for n in range(10**length)]
    emergency = [number for number in numbers if PLAN.is_emergency_anywhere(number)]
    assert len(emergency) > 50
    assert not any(is_e164(number) or is_e164(f"+{number}") for number in emergency)


def test_a_shorter_prefix_speaks_where_no_longer_one_does() -> None:
    plan = NumberPlan(
        [
            PrefixClass("4", "AA", NumberClass.ORDINARY),
            PrefixClass("449", "BB", NumberClass.PREMIUM),
        ],
        {},
    )
    assert plan.classify("+4490000000").country == "BB"
    assert plan.classify("+4480000000").country == "AA"
    assert plan.classify("+5480000000").country == ""


def _patterns() -> list[str]:
    kept = [PhoneMetadata.metadata_for_region(c) for c in ("AR", "DE", "FR", "GB", "JP", "US")]
    kinds = ("fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost")
    found = (getattr(metadata, kind) for metadata in kept for kind in kinds)
    return [kind.national_number_pattern for kind in found if kind and kind.national_number_pattern]


@settings(deadline=None)
@given(st.data())
def test_the_machine_reads_a_pattern_as_the_regular_expression_does(data: st.DataObject) -> None:
    pattern = data.draw(st.sampled_from(_patterns()))
    matching = st.from_regex(re.compile(pattern, re.ASCII), fullmatch=True)
    digits = data.draw(matching | st.from_regex(r"[0-9]{1,12}", fullmatch=True))
    machine = Machine()
    ends = machine.accept(pattern)
    state = START
    for digit in digits:
        state = machine.read(state, digit)
    assert bool(state & ends) == bool(re.fullmatch(pattern, digits))
