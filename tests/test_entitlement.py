"""Who may call where, and what pays: the table, read row by row."""

import pytest

from talktime_server.decision import catalog
from talktime_server.decision.catalog import LicenseKind
from talktime_server.decision.entitlement import RULES, entitle
from talktime_server.failure import Code, NotServed
from talktime_server.ledger.profiles import Payer
from talktime_server.words import CallType, NumberClass, Reason, SourceKind

PLAN = catalog.number_plan()

HOME = "+12125550123"
ABROAD = "+442071838750"
NOWHERE = "+881612345678"
UNKNOWN = "+999123456789"
TOLL_FREE = "+18005550123"
PREMIUM = "+19005550123"
SHARED_COST = "+448451234567"

EVERY_LICENSE = tuple(catalog.licenses())
PLANS = sorted(catalog.skus(LicenseKind.CALLING_PLAN, LicenseKind.PAY_AS_YOU_GO))
INCLUDED, CREDITS = SourceKind.INCLUDED, SourceKind.CREDITS

INTERNATIONAL = "payer alice is licensed in US, so the call is international"
CONFERENCING = "MCOMEETADV would do"


def alice(*licenses: str) -> Payer:
    return Payer("alice", "US", licenses=licenses)


@pytest.mark.parametrize(
    ("call_type", "to_number", "licenses", "verdict"),
    [
        ("USER_OUT", HOME, (), Reason.NO_LICENSE),
        ("USER_OUT", HOME, ("MCOPSTNC",), Reason.NO_LICENSE),
        ("USER_OUT", HOME, ("MCOEV", "MCOMEETADV"), Reason.NO_LICENSE),
        ("USER_OUT", HOME, ("MCOPSTN1",), INCLUDED),
        ("USER_OUT", HOME, ("MCOPSTN_PAYG_1",), INCLUDED),
        ("USER_OUT", ABROAD, (), Reason.NO_LICENSE),
        ("USER_OUT", ABROAD, ("MCOPSTNC",), Reason.NO_LICENSE),
        ("USER_OUT", ABROAD, ("MCOPSTN1",), Reason.NO_CREDITS_LICENSE),
        ("USER_OUT", ABROAD, ("MCOPSTN2", "MCOEV"), Reason.NO_CREDITS_LICENSE),
        ("USER_OUT", ABROAD, ("MCOPSTN1", "MCOPSTNC"), CREDITS),
        ("USER_OUT", ABROAD, ("MCOPSTNPP", "MCOPSTN_PAYG_2"), CREDITS),
        ("USER_OUT", "+14165550123", ("MCOPSTN1", "MCOPSTNC"), CREDITS),
        ("USER_OUT", NOWHERE, ("MCOPSTN1", "MCOPSTNC"), CREDITS),
        ("USER_OUT", UNKNOWN, ("MCOPSTN1", "MCOPSTNC"), CREDITS),
        ("USER_OUT", TOLL_FREE, ("MCOPSTN1",), INCLUDED),
        ("USER_OUT", PREMIUM, EVERY_LICENSE, Reason.PREMIUM_BARRED),
        ("USER_OUT", PREMIUM, (), Reason.PREMIUM_BARRED),
        ("USER_OUT", SHARED_COST, EVERY_LICENSE, Reason.PREMIUM_BARRED),
        ("CONF_OUT", HOME, (), Reason.NO_LICENSE),
        ("CONF_OUT", HOME, ("MCOPSTN1", "MCOPSTNC"), Reason.NO_LICENSE),
        ("CONF_OUT", HOME, ("MCOMEETACPEA", "MCOPSTNC"), Reason.NO_LICENSE),
        ("CONF_OUT", HOME, ("MCOMEETADV",), Reason.NO_CREDITS_LICENSE),
        ("CONF_OUT", HOME, ("MCOMEETADV", "MCOPSTNC"), CREDITS),
        ("CONF_OUT", ABROAD, ("MCOMEETADV",), Reason.NO_CREDITS_LICENSE),
        ("CONF_OUT", ABROAD, ("MCOMEETADV", "MCOPSTNPP"), CREDITS),
        ("CONF_OUT", PREMIUM, EVERY_LICENSE, Reason.PREMIUM_BARRED),
        ("CONF_OUT", SHARED_COST, (), Reason.PREMIUM_BARRED),
        ("CONF_IN", TOLL_FREE, (), CREDITS),
        ("CONF_IN", "+448001234567", (), CREDITS),
        ("UCAP_IN", TOLL_FREE, (), CREDITS),
    ],
)
def test_the_table(
    call_type: str, to_number: str, licenses: tuple[str, ...], verdict: SourceKind | Reason
) -> None:
    decided = entitle(alice(*licenses), CallType(call_type), PLAN.classify(to_number))
    assert (decided.source or decided.refusal) is verdict
    assert (decided.source is None) != (decided.refusal is None)


@pytest.mark.parametrize("plan", PLANS)
def test_every_calling_plan_lets_its_user_call(plan: str) -> None:
    assert entitle(alice(plan), CallType.USER_OUT, PLAN.classify(HOME)).source is INCLUDED


def test_domestic_is_where_the_payer_is_licensed() -> None:
    payer = Payer("bob", "GB", licenses=("MCOPSTN1", "MCOPSTNC"))
    assert entitle(payer, CallType.USER_OUT, PLAN.classify(ABROAD)).source is INCLUDED
    assert entitle(payer, CallType.USER_OUT, PLAN.classify(HOME)).source is CREDITS
    assert entitle(payer, CallType.USER_OUT, PLAN.classify("+447624123456")).source is CREDITS


NOT_SERVED = [
    *((call_type, HOME) for call_type in CallType if not RULES[call_type]),
    (CallType.CONF_IN, HOME),
    (CallType.UCAP_IN, HOME),
    (CallType.CONF_IN, PREMIUM),
]


@pytest.mark.parametrize(("call_type", "to_number"), NOT_SERVED)
def test_what_is_not_built_yet_says_so_by_name(call_type: CallType, to_number: str) -> None:
    with pytest.raises(NotServed, match=call_type) as raised:
        entitle(alice(*EVERY_LICENSE), call_type, PLAN.classify(to_number))
    assert raised.value.code is Code.UNIMPLEMENTED
    assert raised.value.reason == "CALL_TYPE_NOT_SERVED"
    assert raised.value.facts["call_type"] == call_type


def test_every_call_type_has_its_place_in_the_table() -> None:
    assert set(RULES) == set(CallType)
    served = {call_type for call_type, rules in RULES.items() if rules}
    assert served == {CallType.USER_OUT, CallType.CONF_OUT, CallType.CONF_IN, CallType.UCAP_IN}


def test_an_emergency_number_is_never_asked_about() -> None:
    number = PLAN.classify(HOME)
    emergency = type(number)("112", NumberClass.EMERGENCY, "US")
    with pytest.raises(AssertionError):
        entitle(alice(), CallType.USER_OUT, emergency)


def told(call_type: CallType, to_number: str, *licenses: str) -> list[tuple[str, bool, str]]:
    steps = entitle(alice(*licenses), call_type, PLAN.classify(to_number)).steps
    return [(step.name, step.passed, step.explanation) for step in steps]


def test_the_steps_tell_an_admin_why_a_call_is_paid_by_credits() -> None:
    assert told(CallType.USER_OUT, ABROAD, "MCOPSTN1", "MCOPSTNC") == [
        (
            "destination",
            True,
            "+442071838750 is an ordinary number of GB; " + INTERNATIONAL,
        ),
        ("licence", True, "payer alice has a calling plan"),
        ("credits licence", True, "payer alice has the credits licence"),
        ("source", True, "the tenant's credits pay"),
    ]


def test_the_steps_end_with_the_one_that_refused() -> None:
    steps = told(CallType.USER_OUT, ABROAD, "MCOPSTNC")
    assert steps[1:] == [
        (
            "licence",
            False,
            "payer alice has no calling plan; MCOPSTN1, 2, 5, 6, 8 or pay-as-you-go would do",
        )
    ]


@pytest.mark.parametrize(
    ("call_type", "to_number", "first", "last"),
    [
        (
            CallType.USER_OUT,
            PREMIUM,
            "+19005550123 is a premium number of US",
            "payer alice may not call premium and shared-cost numbers",
        ),
        (
            CallType.CONF_OUT,
            SHARED_COST,
            "+448451234567 is a shared-cost number of GB",
            "payer alice may not call premium and shared-cost numbers",
        ),
        (
            CallType.UCAP_IN,
            "+80012345678",
            "+80012345678 is a toll-free number of no country",
            "the tenant's credits pay",
        ),
        (
            CallType.CONF_OUT,
            UNKNOWN,
            "+999123456789 is an ordinary number of a country we do not know; " + INTERNATIONAL,
            "payer alice organizes the conference and has no audio conferencing; " + CONFERENCING,
        ),
    ],
)
def test_the_steps_name_the_number(
    call_type: CallType, to_number: str, first: str, last: str
) -> None:
    steps = told(call_type, to_number)
    assert steps[0][2] == first
    assert steps[-1][2] == last


def test_the_steps_and_the_verdict_agree() -> None:
    for call_type, rules in RULES.items():
        for to_number in (HOME, ABROAD, PREMIUM, TOLL_FREE) if rules else ():
            for licenses in ((), ("MCOPSTN1",), ("MCOMEETADV",), EVERY_LICENSE):
                number = PLAN.classify(to_number)
                if call_type.inbound and number.number_class is not NumberClass.TOLL_FREE:
                    continue
                decided = entitle(alice(*licenses), call_type, number)
                assert all(step.passed for step in decided.steps) == (decided.refusal is None)
