"""The built-in facts: complete, consistent, and fresh."""

from importlib import resources

import phonenumbers
import pytest

from talktime_server.decision import catalog
from talktime_server.decision.catalog import LicenseKind, Zone
from talktime_server.decision.facts import derive
from talktime_server.decision.rating import Deck
from talktime_server.ledger.rate_table import RateTable
from talktime_server.words import CallType, NumberClass

FACTS = resources.files("talktime_server.decision.facts")


@pytest.mark.parametrize("name", sorted(derive.TABLES))
def test_a_derived_table_is_what_its_script_makes(name: str) -> None:
    assert phonenumbers.__version__ == derive.PHONENUMBERS_VERSION
    made = derive.text(derive.TABLES[name]())
    assert FACTS.joinpath(name).read_text(encoding="utf-8") == made


def test_every_table_says_where_its_facts_come_from() -> None:
    readme = FACTS.joinpath("README.md").read_text(encoding="utf-8")
    tables = [table.name for table in FACTS.iterdir() if table.name.endswith(".csv")]
    assert len(tables) == 14
    assert all(f"| `{name}` |" in readme for name in tables)
    assert derive.PHONENUMBERS_VERSION in readme


@pytest.mark.parametrize(
    ("kind", "skus"),
    [
        (LicenseKind.CALLING_PLAN, "MCOPSTN1 MCOPSTN2 MCOPSTN5 MCOPSTN6 MCOPSTN8 MCOPSTN9"),
        (LicenseKind.PAY_AS_YOU_GO, "MCOPSTN_PAYG_1 MCOPSTN_PAYG_2 PAYG_MEXICO"),
        (LicenseKind.CREDITS, "MCOPSTNC MCOPSTNPP"),
        (
            LicenseKind.CONFERENCING,
            "MCOMEETADV MCOMEETADD_DIALOUT_US MCOMEETADD_CN_GLOBAL MCOMEETADD_TATA",
        ),
        (LicenseKind.CONFERENCING_PER_MINUTE, "MCOMEETACPEA MCOMEETACPEA_GOV"),
        (LicenseKind.CONFERENCING_ADD_ON, "CONF_DIALOUT_US_CA"),
        (LicenseKind.RESOURCE_ACCOUNT, "MCOEV_VIRTUALUSER MCOEV_VIRTUALUSER_GOV"),
        (LicenseKind.PHONE, "MCOEV"),
        (LicenseKind.COMMON_AREA_PHONE, "MCOCAP"),
    ],
)
def test_a_licence_is_known_by_its_sku(kind: LicenseKind, skus: str) -> None:
    assert catalog.skus(kind) == set(skus.split())


def test_every_kind_of_licence_has_one() -> None:
    assert all(catalog.skus(kind) for kind in LicenseKind)


def test_the_sku_bought_and_the_capability_reported_are_kept_apart() -> None:
    licenses = catalog.licenses()
    assert licenses["MCOMEETADV"].usage_capability == "MCOMEETADD"
    assert licenses["MCOPSTNC"].usage_capability == "MCOPSTNPP"
    assert licenses["MCOCAP"].usage_capability == "MCOPSTNCAP"
    assert not licenses["CONF_DIALOUT_US_CA"].usage_capability
    assert "MCOMEETADD" not in licenses


def test_a_call_given_away_is_no_licence() -> None:
    """Reports know FREECALL; here a call without a price is refused instead."""
    assert "FREECALL" in {row["usage_capability"] for row in catalog.rows("licenses")}
    assert not {"", "FREECALL"} & set(catalog.licenses())


def test_calling_plans_are_used_in_one_order() -> None:
    plans = [sku for sku in catalog.licenses() if sku in catalog.skus(LicenseKind.CALLING_PLAN)]
    assert plans == ["MCOPSTN8", "MCOPSTN5", "MCOPSTN6", "MCOPSTN1", "MCOPSTN2", "MCOPSTN9"]


def test_the_other_tables_are_whole() -> None:
    assert len(catalog.zone_countries(Zone.ZONE_A)) == 44
    assert catalog.zone_countries(Zone.US_CA) == {"US", "CA"}
    assert len(catalog.international_destinations()) == 198 - 1 + 3
    assert {"BQ", "CW", "SX"} < catalog.international_destinations()
    assert not {"CU", "SO", "KP", "MG", "SL", "AN"} & catalog.international_destinations()
    assert len(catalog.availability()) == 114
    assert set(catalog.actors()) == set(CallType)
    for row in catalog.rows("call_types"):
        assert (row["direction"] == "IN") == CallType(row["call_type"]).inbound


def test_countries_without_credits() -> None:
    """domain.md 5 lists eleven."""
    without = {country for country, sold in catalog.availability().items() if not sold.credits}
    assert " ".join(sorted(without)) == "BH CN IN KR KZ MK NI PK RU TW UA"


def test_every_country_of_a_table_has_a_name() -> None:
    names = set(catalog.countries())
    for table in ("plan_countries", "dial_out_zones", "international_destinations"):
        assert {row["country"] for row in catalog.rows(table)} <= names
    assert set(catalog.availability()) <= names


def test_everywhere_has_a_rule_for_each_class() -> None:
    rules = catalog.premium_rules("DE")
    assert {rule.number_class for rule in rules} == {NumberClass.PREMIUM, NumberClass.SHARED_COST}
    assert not any(rule.allowed for rule in rules)


NUMBERS = [
    ("+448431234567", "GB", "SHARED_COST"),
    ("+448721234567", "GB", "SHARED_COST"),
    ("+449012345678", "GB", "PREMIUM"),
    ("+443331234567", "GB", "ORDINARY"),
    ("+33892345678", "FR", "PREMIUM"),
    ("+33899345678", "FR", "PREMIUM"),
    ("+43900123456", "AT", "PREMIUM"),
    ("+33810123456", "FR", "SHARED_COST"),
    ("+43810123456", "AT", "SHARED_COST"),
    ("+19005550123", "US", "PREMIUM"),
    ("+18005550123", "US", "TOLL_FREE"),
    ("+18885550123", "US", "TOLL_FREE"),
    ("+33800123456", "FR", "TOLL_FREE"),
    ("+80012345678", "001", "TOLL_FREE"),
    ("+80812345678", "001", "SHARED_COST"),
    ("+881612345678", "001", "ORDINARY"),
    ("+17875550123", "PR", "ORDINARY"),
    ("+14165550123", "CA", "ORDINARY"),
    ("+447624123456", "IM", "ORDINARY"),
]


@pytest.mark.parametrize(("text", "country", "number_class"), NUMBERS)
def test_number_classes(text: str, country: str, number_class: str) -> None:
    """The table of domain.md 4."""
    number = catalog.number_plan().classify(text)
    assert (number.country, number.number_class) == (country, number_class)


def test_every_country_with_numbers_has_a_name() -> None:
    assert set(phonenumbers.SUPPORTED_REGIONS) <= set(catalog.countries())
    assert set(phonenumbers.SUPPORTED_SHORT_REGIONS) <= set(catalog.countries())


def test_every_country_has_an_emergency_number() -> None:
    plan = catalog.number_plan()
    short = [f"{n:0{length}d}" for length in range(2, 6) for n in range(10**length)]
    for country in catalog.countries():
        assert any(plan.is_emergency(number, country) for number in short), country


def _demo_deck() -> Deck:
    file = catalog.demo_deck()
    assert not file.bad
    return Deck("demo", file.currency, RateTable(file.rows))


def test_the_library_agrees_on_every_emergency_number() -> None:
    """The table is read off patterns; the library is asked number by number."""
    plan = catalog.number_plan()
    short = [f"{n:0{length}d}" for length in (2, 3) for n in range(10**length)]
    for country in ("DE", "GB", "IN", "KR", "OM", "US", "ZA"):
        for number in (*short, "9999", "2611", "10111", "10177", "90000"):
            expected = phonenumbers.is_emergency_number(number, country)
            assert plan.is_emergency(number, country) == expected, (number, country)


def test_the_demo_deck_prices_every_country_but_one() -> None:
    deck = _demo_deck()
    for country in sorted(phonenumbers.SUPPORTED_REGIONS):
        example = phonenumbers.example_number(country)
        assert example is not None
        text = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
        assert (deck.rate_for(text) is None) == (country == "FO"), country


def test_the_demo_deck_has_no_rate_for_north_american_premium_numbers() -> None:
    deck = _demo_deck()
    assert deck.rate_for("+19005550123") is None
    assert deck.rate_for("+19015550123") is not None
    assert deck.rate_for("+298201234") is None


@pytest.mark.parametrize("area", ["800", "833", "844", "855", "866", "877", "888"])
def test_the_demo_deck_prices_calls_that_come_in_on_toll_free_numbers(area: str) -> None:
    rate = _demo_deck().rate_for(f"+1{area}5550123")
    assert rate is not None
    assert (rate.rate_per_minute_micros, rate.connection_fee_micros) == (30_000, 0)


def test_the_demo_deck_shows_each_way_of_charging() -> None:
    rows = catalog.demo_deck().rows
    steps = {(row.initial_seconds, row.increment_seconds) for row in rows}
    assert steps == {(60, 60), (30, 6)}
    assert any(row.connection_fee_micros for row in rows)
    assert len(rows) < 1_000


def test_premium_and_shared_cost_numbers_are_never_priced_as_ordinary_ones() -> None:
    deck, plan = _demo_deck(), catalog.number_plan()
    for text in ("+449012345678", "+33892345678", "+43900123456", "+448451234567"):
        rate = deck.rate_for(text)
        assert plan.classify(text).number_class != NumberClass.ORDINARY
        assert rate is not None
        assert rate.connection_fee_micros > 0
