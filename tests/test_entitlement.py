"""Who may call where, and what may pay: the funding table of domain.md 2, each row granted and refused."""

import itertools

import pytest

from talktime_server.decision import catalog
from talktime_server.decision.catalog import LicenseKind
from talktime_server.decision.entitlement import TABLE, Destination, Entitlement, entitle
from talktime_server.decision.explanation import tell
from talktime_server.ledger.profiles import Payer, Tenant, impersonal
from talktime_server.ledger.records import Sources
from talktime_server.words import CallType, NumberClass, Reason

PLAN = catalog.number_plan()
TENANT = Tenant("contoso", "USD", "US")
POSTPAID = Tenant("contoso", "USD", "US", postpaid=True)
AFTERWARDS = Tenant("contoso", "USD", "US", plans_after_conferencing=True)

US, GB, CA, PR = "+12125550123", "+442071838750", "+14165550123", "+17875550123"
CUBA, ZIMBABWE, KENYA, MEXICO = "+5371234567", "+2634123456", "+254201234567", "+525512345678"
CURACAO, SATELLITE, UNKNOWN = "+59994331234", "+881612345678", "+999123456789"
TOLL_FREE, UNIVERSAL = "+18005550123", "+80012345678"
US_PREMIUM, GB_SHARED, GB_PREMIUM = "+19005550123", "+448451234567", "+449012345678"
FR_PREMIUM, FR_SHARED, AT_PREMIUM = "+33892345678", "+33810123456", "+43900123456"

EVERY_LICENSE = tuple(catalog.licenses())
USER_OUT = [call_type for call_type in CallType if call_type.startswith("USER_OUT")]


def asked(
    call_type: str, to_number: str, licenses: str = "", country: str = "US", tenant: Tenant = TENANT
) -> Entitlement:
    payer = Payer("alice", country, licenses=tuple(licenses.split()))
    return entitle(tenant, payer, CallType(call_type), PLAN.classify(to_number))


def told(sources: Sources) -> str:
    """As "US/MCOPSTN1 CREDITS": the pools, then what is no pool."""
    pools = " ".join(pool.pool_id for pool in sources.pools)
    return f"{pools} {sources.kinds().replace('+', ' ')}".strip()


def verdict(entitlement: Entitlement) -> str:
    return told(entitlement.sources) if entitlement.sources else str(entitlement.refusal)


ROWS = {
    "user_out domestic": [
        ("USER_OUT", US, "MCOPSTN1", "US/MCOPSTN1"),
        ("USER_OUT", US, "MCOPSTN1 MCOPSTNC", "US/MCOPSTN1 CREDITS"),
        ("USER_OUT", CA, "MCOPSTN5", "US/MCOPSTN5"),
        ("USER_OUT", PR, "MCOPSTN6", "US/MCOPSTN6"),
        ("USER_OUT", US, "MCOPSTN8", "US/MCOPSTN8/alice"),
        ("USER_OUT", US, "MCOPSTN2 MCOPSTNPP", "US/MCOPSTN2/domestic CREDITS"),
        ("USER_OUT", TOLL_FREE, "MCOPSTN1", "US/MCOPSTN1"),
        (
            "USER_OUT",
            US,
            "MCOPSTN2 MCOPSTN1 MCOPSTN6 MCOPSTN5 MCOPSTN8",
            "US/MCOPSTN8/alice US/MCOPSTN5 US/MCOPSTN6 US/MCOPSTN1 US/MCOPSTN2/domestic",
        ),
        ("USER_OUT", US, "", "NO_LICENSE"),
        ("USER_OUT", US, "MCOEV MCOMEETADV MCOPSTNC", "NO_LICENSE"),
        ("USER_OUT", US, "MCOPSTN9", "NO_CREDITS_LICENSE"),
        ("USER_OUT", US, "MCOPSTN9 MCOPSTNC", "CREDITS"),
    ],
    "user_out international, domestic plan": [
        ("USER_OUT", GB, "MCOPSTN1 MCOPSTNC", "CREDITS"),
        ("USER_OUT", MEXICO, "MCOPSTN8 MCOPSTNPP", "CREDITS"),
        ("USER_OUT", SATELLITE, "MCOPSTN5 MCOPSTNC", "CREDITS"),
        ("USER_OUT", UNKNOWN, "MCOPSTN5 MCOPSTNC", "CREDITS"),
        ("USER_OUT", UNIVERSAL, "MCOPSTN1 MCOPSTNC", "CREDITS"),
        ("USER_OUT", GB, "MCOPSTN1", "NO_CREDITS_LICENSE"),
        ("USER_OUT", GB, "MCOPSTNC", "NO_LICENSE"),
    ],
    "user_out international, MCOPSTN2, listed destination": [
        ("USER_OUT", GB, "MCOPSTN2", "US/MCOPSTN2/international"),
        ("USER_OUT", GB, "MCOPSTN2 MCOPSTN1 MCOPSTNC", "US/MCOPSTN2/international CREDITS"),
        ("USER_OUT", CURACAO, "MCOPSTN2", "US/MCOPSTN2/international"),
        ("USER_OUT", GB, "MCOPSTNC", "NO_LICENSE"),
    ],
    "user_out international, MCOPSTN2, unlisted destination": [
        ("USER_OUT", CUBA, "MCOPSTN2 MCOPSTNC", "CREDITS"),
        ("USER_OUT", SATELLITE, "MCOPSTN2 MCOPSTNC", "CREDITS"),
        ("USER_OUT", CUBA, "MCOPSTN2", "NO_CREDITS_LICENSE"),
    ],
    "user_out any, pay-as-you-go plan": [
        ("USER_OUT", US, "MCOPSTN_PAYG_1", "CREDITS"),
        ("USER_OUT", GB, "MCOPSTN_PAYG_2", "CREDITS"),
        ("USER_OUT", CUBA, "PAYG_MEXICO", "CREDITS"),
        ("USER_OUT", US, "MCOPSTN_PAYG_1 MCOPSTN1", "US/MCOPSTN1 CREDITS"),
        ("USER_OUT", CUBA, "MCOPSTN_PAYG_1 MCOPSTN1", "CREDITS"),
        ("USER_OUT", US, "MCOPSTNC", "NO_LICENSE"),
    ],
    "conf_out Zone A, not premium": [
        ("CONF_OUT", GB, "MCOMEETADV", "zone-a/MCOMEETADV"),
        ("CONF_OUT", US, "MCOMEETADV MCOPSTNC", "zone-a/MCOMEETADV CREDITS"),
        ("CONF_OUT", US, "MCOMEETADV CONF_DIALOUT_US_CA", "INCLUDED"),
        ("CONF_OUT", PR, "MCOMEETADV CONF_DIALOUT_US_CA", "INCLUDED"),
        ("CONF_OUT", GB, "MCOMEETADV CONF_DIALOUT_US_CA", "zone-a/MCOMEETADV"),
        ("CONF_OUT", CA, "MCOMEETADD_DIALOUT_US", "us-ca/MCOMEETADD_DIALOUT_US"),
        (
            "CONF_OUT",
            US,
            "MCOMEETADD_DIALOUT_US MCOMEETADV",
            "zone-a/MCOMEETADV us-ca/MCOMEETADD_DIALOUT_US",
        ),
        ("CONF_OUT", GB, "MCOMEETADD_DIALOUT_US", "NO_CREDITS_LICENSE"),
        ("CONF_OUT", GB, "MCOMEETADD_DIALOUT_US MCOPSTNC", "CREDITS"),
        ("CONF_OUT", US, "MCOMEETADD_TATA", "NO_CREDITS_LICENSE"),
        ("CONF_OUT", US, "MCOMEETADD_CN_GLOBAL MCOPSTNC", "CREDITS"),
        ("CONF_OUT", US, "CONF_DIALOUT_US_CA MCOPSTN1 MCOPSTNC", "NO_LICENSE"),
        ("CONF_OUT", US, "", "NO_LICENSE"),
    ],
    "conf_out outside Zone A": [
        ("CONF_OUT", ZIMBABWE, "MCOMEETADV MCOPSTNC", "CREDITS"),
        ("CONF_OUT", SATELLITE, "MCOMEETADV MCOPSTNC", "CREDITS"),
        ("CONF_OUT", KENYA, "MCOMEETADV", "NO_CREDITS_LICENSE"),
        ("CONF_OUT", KENYA, "MCOPSTNC", "NO_LICENSE"),
    ],
    "conf_out any, MCOMEETACPEA": [
        ("CONF_OUT", US, "MCOMEETACPEA", "CREDITS"),
        ("CONF_OUT", KENYA, "MCOMEETACPEA_GOV", "CREDITS"),
        ("CONF_OUT", US, "MCOMEETACPEA CONF_DIALOUT_US_CA", "CREDITS"),
        ("CONF_OUT", KENYA, "MCOMEETACPEA MCOMEETADV", "CREDITS"),
        ("CONF_OUT", GB, "MCOMEETACPEA MCOMEETADV", "zone-a/MCOMEETADV CREDITS"),
    ],
    "conf_in toll number": [
        ("CONF_IN", US, "MCOMEETADV", "INCLUDED"),
        ("CONF_IN", GB_PREMIUM, "MCOMEETADD_TATA", "INCLUDED"),
        ("CONF_IN", US, "MCOMEETADV MCOMEETACPEA", "INCLUDED"),
        ("CONF_IN", US, "MCOPSTN1 MCOPSTNC CONF_DIALOUT_US_CA", "NO_LICENSE"),
    ],
    "conf_in toll-free number": [
        ("CONF_IN", TOLL_FREE, "", "CREDITS"),
        ("CONF_IN", "+448001234567", "MCOMEETADV", "CREDITS"),
    ],
    "conf_in any number, MCOMEETACPEA": [
        ("CONF_IN", US, "MCOMEETACPEA", "CREDITS"),
        ("CONF_IN", TOLL_FREE, "MCOMEETACPEA", "CREDITS"),
    ],
    "ucap_in toll-free service number": [
        ("UCAP_IN", TOLL_FREE, "MCOEV_VIRTUALUSER", "CREDITS"),
        ("UCAP_IN", UNIVERSAL, "MCOEV", "CREDITS"),
        ("UCAP_IN", TOLL_FREE, "MCOPSTN1 MCOPSTNC", "NO_LICENSE"),
    ],
    "ucap_in toll service number": [
        ("UCAP_IN", US, "MCOEV_VIRTUALUSER_GOV", "INCLUDED"),
        ("UCAP_IN", US, "", "NO_LICENSE"),
    ],
    "ucap_out external transfer": [
        ("UCAP_OUT", US, "MCOEV_VIRTUALUSER MCOPSTN1", "US/MCOPSTN1 CREDITS"),
        ("UCAP_OUT", GB, "MCOPSTN2", "US/MCOPSTN2/international CREDITS"),
        ("UCAP_OUT", US, "MCOEV_VIRTUALUSER", "CREDITS"),
        ("UCAP_OUT", CUBA, "MCOPSTN_PAYG_1", "CREDITS"),
        ("UCAP_OUT", US, "MCOPSTNC MCOMEETADV", "NO_LICENSE"),
    ],
    "user_in, unlimited with any calling plan": [
        ("USER_IN", US, "MCOPSTN1", "INCLUDED"),
        ("USER_IN", US, "MCOPSTN_PAYG_1", "INCLUDED"),
        ("USER_IN", GB_PREMIUM, "MCOPSTN9", "INCLUDED"),
        ("USER_IN", US, "MCOPSTNC MCOEV", "NO_LICENSE"),
        ("USER_IN", TOLL_FREE, "", "CREDITS"),
    ],
    "unassigned_in": [
        ("UNASSIGNED_IN", US, "", "CREDITS"),
        ("UNASSIGNED_IN", TOLL_FREE, "", "CREDITS"),
    ],
}


@pytest.mark.parametrize(
    ("call_type", "to_number", "licenses", "expected"),
    [
        pytest.param(*case, id=f"{name} {n}")
        for name, rows in ROWS.items()
        for n, case in enumerate(rows)
    ],
)
def test_the_funding_table(call_type: str, to_number: str, licenses: str, expected: str) -> None:
    assert verdict(asked(call_type, to_number, licenses)) == expected


PREMIUM_ROWS = [
    ("USER_OUT", FR_PREMIUM, "FR", "MCOPSTN2 MCOPSTNC", "CREDITS"),
    ("USER_OUT", FR_SHARED, "FR", "MCOPSTN1 MCOPSTNC", "CREDITS"),
    ("USER_OUT", AT_PREMIUM, "AT", "MCOPSTN1 MCOPSTNC", "CREDITS"),
    ("USER_OUT", GB_SHARED, "GB", "MCOPSTN1 MCOPSTNC", "CREDITS"),
    ("USER_OUT", GB_SHARED, "GB", "MCOPSTN_PAYG_1", "CREDITS"),
    ("USER_OUT", FR_PREMIUM, "FR", "MCOPSTN1", "NO_CREDITS_LICENSE"),
    ("USER_OUT", FR_PREMIUM, "FR", "MCOPSTNC", "NO_LICENSE"),
    ("USER_OUT", GB_PREMIUM, "GB", "MCOPSTN1 MCOPSTNC", "PREMIUM_BARRED"),
    ("USER_OUT", US_PREMIUM, "US", "", "PREMIUM_BARRED"),
    ("USER_OUT", FR_PREMIUM, "GB", "MCOPSTN1 MCOPSTNC", "PREMIUM_BARRED"),
    ("USER_OUT", GB_SHARED, "FR", "MCOPSTN1 MCOPSTNC", "PREMIUM_BARRED"),
    ("USER_OUT", "+808123456789", "US", "MCOPSTN1 MCOPSTNC", "PREMIUM_BARRED"),
    ("USER_OUT", "+979123456789", "FR", "MCOPSTN1 MCOPSTNC", "PREMIUM_BARRED"),
    ("CONF_OUT", FR_PREMIUM, "FR", "MCOMEETADV MCOPSTNC", "CREDITS"),
    ("CONF_OUT", FR_PREMIUM, "FR", "MCOMEETADV", "NO_CREDITS_LICENSE"),
    ("CONF_OUT", GB_SHARED, "GB", "MCOMEETACPEA", "CREDITS"),
    ("CONF_OUT", GB_SHARED, "US", "MCOMEETADV MCOPSTNC", "PREMIUM_BARRED"),
    ("UCAP_OUT", AT_PREMIUM, "AT", "MCOEV_VIRTUALUSER MCOPSTN1", "CREDITS"),
    ("UCAP_OUT", AT_PREMIUM, "DE", "MCOEV_VIRTUALUSER MCOPSTN1", "PREMIUM_BARRED"),
]


@pytest.mark.parametrize(
    ("call_type", "to_number", "country", "licenses", "expected"), PREMIUM_ROWS
)
def test_premium_and_shared_cost_where_supported(
    call_type: str, to_number: str, country: str, licenses: str, expected: str
) -> None:
    """Credits alone ever pay, where the payer's country allows its own numbers (domain.md 8)."""
    assert verdict(asked(call_type, to_number, licenses, country)) == expected


@pytest.mark.parametrize("prefix", ["44843", "44844", "44845", "44870", "44871", "44872"])
def test_the_british_prefixes_speak_before_the_class(prefix: str) -> None:
    """Even if the table of classes took them for ordinary or premium ones (domain.md 4)."""
    payer = Payer("alice", "GB", licenses=("MCOPSTN1", "MCOPSTNC"))
    for number_class in (NumberClass.PREMIUM, NumberClass.ORDINARY, NumberClass.SHARED_COST):
        number = type(PLAN.classify(GB))(f"+{prefix}1234567"[:13], number_class, "GB")
        assert verdict(entitle(TENANT, payer, CallType.USER_OUT, number)) == "CREDITS"


@pytest.mark.parametrize(
    ("call_type", "to_number", "licenses", "expected"),
    [
        ("USER_OUT", US, "MCOPSTN1", "US/MCOPSTN1 POSTPAID"),
        ("USER_OUT", US, "MCOPSTN1 MCOPSTNC", "US/MCOPSTN1 CREDITS POSTPAID"),
        ("USER_OUT", GB, "MCOPSTN1", "NO_CREDITS_LICENSE"),
        ("USER_OUT", GB, "MCOPSTN1 MCOPSTNC", "CREDITS POSTPAID"),
        ("USER_OUT", US, "MCOPSTN_PAYG_1", "CREDITS POSTPAID"),
        ("USER_OUT", US, "MCOPSTN9", "POSTPAID"),
        ("CONF_OUT", GB, "MCOMEETADV", "zone-a/MCOMEETADV POSTPAID"),
        ("CONF_OUT", GB, "MCOMEETADD_TATA", "POSTPAID"),
        ("CONF_OUT", KENYA, "MCOMEETADV", "NO_CREDITS_LICENSE"),
        ("CONF_OUT", KENYA, "MCOMEETACPEA", "CREDITS POSTPAID"),
        ("CONF_IN", TOLL_FREE, "", "CREDITS POSTPAID"),
        ("CONF_IN", US, "MCOMEETADV", "INCLUDED"),
        ("UCAP_OUT", US, "MCOEV", "CREDITS POSTPAID"),
    ],
)
def test_postpaid_comes_after_credits(
    call_type: str, to_number: str, licenses: str, expected: str
) -> None:
    assert verdict(asked(call_type, to_number, licenses, tenant=POSTPAID)) == expected


@pytest.mark.parametrize("call_type", USER_OUT)
def test_the_forms_of_user_out_are_one(call_type: CallType) -> None:
    for case in itertools.chain(*(rows for name, rows in ROWS.items() if name[:8] == "user_out")):
        assert verdict(asked(call_type, case[1], case[2])) == case[3]


@pytest.mark.parametrize(
    ("country", "to_number", "expected"),
    [
        ("CA", US, "CA/MCOPSTN1"),
        ("CA", PR, "CA/MCOPSTN1"),
        ("PR", US, "US/MCOPSTN1"),
        ("PR", CA, "US/MCOPSTN1"),
        ("PR", PR, "US/MCOPSTN1"),
        ("GB", GB, "GB/MCOPSTN1"),
        ("MX", MEXICO, "MX/MCOPSTN1"),
        ("GB", "+447624123456", "NO_CREDITS_LICENSE"),
        ("MX", US, "NO_CREDITS_LICENSE"),
        ("US", "+13405550123", "NO_CREDITS_LICENSE"),
        ("AU", "+61212345678", "NO_CREDITS_LICENSE"),
    ],
)
def test_domestic_for_the_pool(country: str, to_number: str, expected: str) -> None:
    """The United States, Canada and Puerto Rico are one; Puerto Rico has the United States' pool."""
    assert verdict(asked("USER_OUT", to_number, "MCOPSTN1", country)) == expected


@pytest.mark.parametrize(
    ("to_number", "licenses", "expected"),
    [
        (US, "MCOMEETADV MCOPSTN1", "zone-a/MCOMEETADV US/MCOPSTN1"),
        (GB, "MCOMEETADV MCOPSTN2 MCOPSTNC", "zone-a/MCOMEETADV US/MCOPSTN2/international CREDITS"),
        (GB, "MCOMEETADV MCOPSTN1", "zone-a/MCOMEETADV"),
        (KENYA, "MCOMEETADV MCOPSTN2", "NO_CREDITS_LICENSE"),
        (US, "MCOMEETACPEA MCOPSTN1", "CREDITS"),
    ],
)
def test_the_organizers_plan_after_the_conferencing_pool_is_a_switch(
    to_number: str, licenses: str, expected: str
) -> None:
    assert verdict(asked("CONF_OUT", to_number, licenses, tenant=AFTERWARDS)) == expected
    assert "MCOPSTN" not in verdict(asked("CONF_OUT", to_number, licenses))


@pytest.mark.parametrize(
    "sku", sorted(catalog.skus(LicenseKind.CALLING_PLAN, LicenseKind.PAY_AS_YOU_GO))
)
def test_every_plan_satisfies_the_licence_check(sku: str) -> None:
    assert asked("USER_OUT", US, sku).refusal is not Reason.NO_LICENSE
    assert asked("USER_IN", US, sku).sources


def test_a_payer_without_its_id_has_the_minutes_of_who_it_is_said_to_be() -> None:
    """As profiles that many payers share have no id; told of only where minutes are a user's own."""
    for sku in ("MCOPSTN8", "MCOPSTN1"):
        alice, number = Payer("alice", "US", licenses=(sku,)), PLAN.classify(US)
        whole = entitle(TENANT, alice, CallType.USER_OUT, number)
        shared = entitle(
            TENANT, impersonal(alice), CallType.USER_OUT, number, payer_id=alice.payer_id
        )
        assert shared.verdict == whole.verdict
        assert shared.case == whole.case


def test_an_unassigned_number_needs_no_payer() -> None:
    decided = entitle(TENANT, None, CallType.UNASSIGNED_IN, PLAN.classify(US))
    assert verdict(decided) == "CREDITS"
    assert all(step.passed for step in tell(decided))


def test_an_emergency_number_is_never_asked_about() -> None:
    number = type(PLAN.classify(US))("112", NumberClass.EMERGENCY, "US")
    with pytest.raises(AssertionError):
        entitle(TENANT, Payer("alice", "US"), CallType.USER_OUT, number)


def test_short_pools_say_that_they_are_exhausted() -> None:
    sources = asked("USER_OUT", US, "MCOPSTN1").sources
    assert sources
    assert not sources.money
    assert sources.short is Reason.POOL_EXHAUSTED


def test_every_row_of_the_table_is_reached() -> None:
    reached: set[str] = set()
    cases = [(*case[:3], "US") for rows in ROWS.values() for case in rows]
    cases += [(c, number, licenses, country) for c, number, country, licenses, _ in PREMIUM_ROWS]
    for call_type, to_number, licenses, country in cases:
        reached.update(
            row.rule for row in asked(call_type, to_number, licenses, country).verdict.rows
        )
    assert reached == {row.rule for row in TABLE}


NUMBERS = [US, GB, CUBA, KENYA, TOLL_FREE, UNKNOWN, US_PREMIUM, GB_SHARED, FR_PREMIUM]
HOLDINGS = ["", "MCOPSTN1", "MCOPSTN2 MCOPSTNC", "MCOMEETADV", "MCOMEETACPEA", "MCOEV", "MCOPSTNC"]


@pytest.mark.parametrize("call_type", list(CallType))
def test_there_are_sources_or_a_refusal_and_never_both(call_type: CallType) -> None:
    for to_number in NUMBERS:
        for licenses in (*HOLDINGS, " ".join(EVERY_LICENSE)):
            for country in ("US", "FR", "ZW"):
                decided = asked(call_type, to_number, licenses, country)
                assert (decided.sources is None) != (decided.refusal is None)
                assert [s.passed for s in tell(decided)].count(False) == bool(decided.refusal)
                assert tell(decided)[-1].passed == (decided.refusal is None)


def test_every_destination_is_reached() -> None:
    reached = {
        asked(call_type, number, "MCOPSTN2", country).destination
        for call_type in CallType
        for number in NUMBERS
        for country in ("US", "FR")
    }
    assert reached == set(Destination)
