"""The commands for licences, policies, pools, limits and blocks: for people, for programs, and each refusal's sentence."""

import csv
from io import StringIO

import pytest

from cli.command import Shell, at
from cli.conftest import LONDON

WASHINGTON = "+12025550147"
BERLIN = "+493023125123"
PREMIUM = "+19005550100"

# The command, the exit code, words that people read, and where in the document a program finds what.
ASKED: list[tuple[str, int, tuple[str, ...], dict[str, object]]] = [
    (
        "tenant put relecloud --currency USD --country US --bought MCOMEETADV=100 --billing postpaid",
        0,
        ("relecloud", "POSTPAID", "zone-a/MCOMEETADV", "6,000", "not set up", "100 MCOMEETADV"),
        {"bought_licenses.0.count": 100, "billing_mode": "POSTPAID", "recharge": None},
    ),
    (
        "tenant put relecloud --bought MCOMEETADV=0 --pools-apart",
        0,
        ("No pool", "independent", "POSTPAID"),
        {"bought_licenses": [], "independent_plan_pools": True, "money.pools": []},
    ),
    ("tenant put relecloud --bought MCOMEETADV", 2, ("MCOMEETADV=100",), {}),
    ("tenant put relecloud --billing later", 2, ("PREPAID, POSTPAID",), {}),
    ("tenant list", 0, ("relecloud", "POSTPAID"), {}),
    (
        "payer put dana --country GB --phone-number +442079460018 --no-toll-free",
        0,
        ("+442079460018", "off"),
        {"phone_number": "+442079460018", "toll_free_dial_in_off": True},
    ),
    (
        "licence assign dana MCOPSTN1 MCOPSTNC",
        0,
        ("MCOPSTN1", "Communications credits"),
        {"licenses": ["MCOPSTN1", "MCOPSTNC"]},
    ),
    (
        "licence swap dana MCOPSTN1 MCOPSTN2",
        0,
        ("MCOPSTN2",),
        {"licenses": ["MCOPSTNC", "MCOPSTN2"]},
    ),
    (
        "licence swap dana MCOCAP MCOEV",
        7,
        ("nothing to swap",),
        {"error.reason": "LICENSE_NOT_HELD"},
    ),
    ("licence remove dana MCOPSTNC MCOPSTN2", 0, ("none",), {"licenses": []}),
    (
        "licence assign dana MCOPSTNC",
        7,
        ("a calling plan",),
        {"error.reason": "CREDITS_LICENSE_ALONE"},
    ),
    ("licence assign dana NOPE", 2, ("SKU is not a licence", "licence list"), {}),
    ("licence assign nobody MCOPSTN1", 4, ("no payer nobody",), {}),
    ("license list", 0, ("MCOPSTN1",), {"licences.0.sku": "MCOPSTN8"}),
    (
        "licence list",
        0,
        ("MCOMEETADD ", "Audio conferencing", "--country"),
        {"licences.0.sku": "MCOPSTN8"},
    ),
    (
        "licence list --country GB",
        0,
        ("3,000 domestic, 600 international", "60 dial-out to zone-a"),
        {"licences.4.minutes": "3,000 domestic, 600 international; shared by its users there"},
    ),
    ("licence list --country UK", 2, ("ISO 3166-1",), {}),
    (
        "policy list",
        0,
        ("DialoutCPCZoneAPSTNDisabled", "the countries of Zone A", "Emergency"),
        {"policies.0.conferencing": "ANY"},
    ),
    (
        "policy set dialoutcpcandpstndomestic dana",
        0,
        ("its own", "the user's country"),
        {"payer_policy": "DialoutCPCandPSTNDomestic"},
    ),
    (
        "policy show dana",
        0,
        ("DialoutCPCandPSTNDomestic", "off"),
        {"policy_in_force": "DialoutCPCandPSTNDomestic", "tenant_policy": ""},
    ),
    ("policy set default dana", 0, ("the default",), {"payer_policy": ""}),
    ("policy set none dana", 2, ("policy list",), {}),
    ("policy show", 0, ("DialoutCPCandPSTNInternational",), {"tenant_policy": ""}),
    (
        "limit set dana --open-calls 2 --max-rate 1.50 --block +1900 --allow 44 --allow 1",
        0,
        ("1.50", "its own", "+1900", "+1 +44"),
        {"max_rate_per_minute_micros": 1_500_000, "blocked_prefixes": ["1900"]},
    ),
    (
        "limit set dana --open-calls 0 --unlist 1 --block 44 --unlist 1900",
        0,
        ("+44",),
        {"max_open_calls": 0, "blocked_prefixes": ["44"], "allowed_prefixes": []},
    ),
    ("limit set dana --block 1 --allow 1", 2, ("both name 1",), {}),
    (
        "limit set dana --payer-share 5",
        2,
        ("--payer-share: only a tenant",),
        {},
    ),
    ("limit set dana --spend-per-day-each 5", 2, ("--spend-per-day-each: only a tenant",), {}),
    (
        "limit set --open-calls -5",
        2,
        ("--open-calls is not",),
        {"error.faults.0.field": "tenant.max_open_calls"},
    ),
    ("limit set", 2, ("Name a limit",), {}),
    ("limit set dana --block x", 2, ("--block is not 1 to 15 digits",), {}),
    (
        "limit set --spend-per-day 2000 --spend-per-day-each 200 --costly-rate 1",
        0,
        ("2,000.00", "200.00", "unassigned"),
        {"max_spend_per_day_micros": 2_000_000_000, "costly_rate_per_minute_micros": 1_000_000},
    ),
    (
        "limit show dana",
        0,
        ("200.00", "2,000.00", "for each payer", "its payers together", "its own"),
        {"tenant.max_spend_per_day_per_payer_micros": 200_000_000},
    ),
    ("limit show", 0, ("Spend in a day",), {"max_payer_hold_percent": 0}),
    (
        "pool list",
        0,
        ("US/MCOPSTN1", "assigned in US, 3,000 min each", "100 %"),
        {"pools.0.sku": "MCOPSTN1"},
    ),
    ("pool show US/MCOPSTN1", 0, ("Domestic calling plan", "3,000"), {"sku": "MCOPSTN1"}),
    ("pool show US/MCOPSTN9", 4, ("pool list",), {}),
    ("block add dana --reason lost", 0, ("yes: lost",), {"blocked": True}),
    ("block remove dana --reason found", 0, ("Blocked", "no"), {"blocked": False}),
    ("block add dana", 2, ("--reason",), {}),
    ("block add nobody --reason lost", 4, ("no payer nobody",), {}),
    (
        f"call quote bob {LONDON} --explain",
        3,
        ("✗  credits licence", "What would help", "licence assign bob MCOPSTNC --tenant contoso"),
        {"reason": "NO_CREDITS_LICENSE"},
    ),
    (
        f"call quote bob {WASHINGTON}",
        0,
        ("POOL US/MCOPSTN1", "pool.US/MCOPSTN1", "user_out.domestic"),
        {"sources.0.pool_id": "US/MCOPSTN1"},
    ),
    (
        f"call quote bob {PREMIUM}",
        3,
        ("✗  premium", "nothing opens it"),
        {"reason": "PREMIUM_BARRED"},
    ),
    (
        "call quote dana +18005550123 --type CONF_IN",
        3,
        ("payer put dana --toll-free --tenant contoso",),
        {"reason": "POLICY"},
    ),
    ("call batch bob 911", 2, ("TO is an emergency number", "talktime call authorize"), {}),
    (f"call quote bob {WASHINGTON} --type ROBOT", 2, ("ROBOT",), {}),
]


@pytest.mark.parametrize(
    ("typed", "code", "words", "found"), ASKED, ids=lambda each: str(each)[:48]
)
def test_a_command_answers_people_and_programs(
    served: Shell, typed: str, code: int, words: tuple[str, ...], found: dict[str, object]
) -> None:
    read = served.ask(*typed.split())
    assert read.code == code, read
    shown = read.out if code in (0, 3) else read.err
    assert all(word in shown for word in words), shown
    if not found:
        return
    parsed = served.ask(*typed.split(), "--json")
    document = parsed.document if parsed.code in (0, 3) else {"error": parsed.error}
    assert {path: at(document, path) for path in found} == found


def test_a_quote_without_explanation_is_short(served: Shell) -> None:
    shown = served.ask("call", "quote", "bob", LONDON, "--no-explain").out
    assert ("NO_CREDITS_LICENSE" in shown, "✓" in shown, "help" in shown) == (True, False, False)


@pytest.mark.parametrize("call_type", ["USER_OUT_CONF", "USER_OUT_TRANSFER", "USER_OUT_FORWARDING"])
def test_every_kind_of_outgoing_call_can_be_asked_for(served: Shell, call_type: str) -> None:
    asked = ("call", "authorize", "bob", WASHINGTON, "--type", call_type, "--json")
    assert served.ask(*asked).document["sources"][0]["kind"] == "POOL"


def test_a_call_to_an_unassigned_number_has_no_payer(served: Shell) -> None:
    asked = ("call", "authorize", "", LONDON, "--type", "UNASSIGNED_IN", "--json")
    assert served.ask(*asked).document["sources"][0]["kind"] == "CREDITS"


def test_what_was_only_noted_has_no_tick(served: Shell) -> None:
    shown = served.ask("call", "quote", "bob", WASHINGTON).out
    (noted,) = [row for row in shown.splitlines() if "has no credits licence" in row]
    assert noted.startswith("\N{EN DASH}  note")


def test_every_limit_that_a_payers_calls_are_held_against_is_told_with_whose_it_is(
    served: Shell,
) -> None:
    shell = Shell(served.state, {**served.variables, "TALKTIME_TENANT": "adatum"}, served.mark)
    for typed in (
        "tenant put adatum --currency USD --country US",
        "payer put ines --country US",
        "limit set --open-calls 30 --open-calls-each 3 --spend-per-month 500 --max-rate 2",
        "limit set --costly-calls-per-day 9 --payer-share 40",
        "limit set ines --open-calls 2 --calls-per-second 4",
    ):
        assert shell.ask(*typed.split()).code == 0, typed
    rows = shell.ask("limit", "show", "ines").out.splitlines()
    for told in (
        ("Open calls at a time", "2", "its own"),
        ("Open calls at a time", "30", "all its payers together"),
        ("Calls that start in a second", "4", "its own"),
        ("Spend in a month", "500.00", "all its payers together"),
        ("Costly calls in a day", "9", "all its payers together"),
        ("Dearest rate per minute", "2.00", "the tenant's"),
        ("Share of the balance held", "40 %", "for each payer"),
    ):
        assert any(all(word in row for word in told) for row in rows), (told, rows)
    assert not any("unassigned" in row for row in rows)


def test_the_page_of_a_tenant_shows_everything(served: Shell) -> None:
    """Money, minutes, limits, policy and settings, of a tenant with an open call in each of two pools."""
    variables = {**served.variables, "TALKTIME_TENANT": "litware"}
    shell = Shell(served.state, variables, served.mark)
    for typed in (
        "tenant put litware --currency USD --country US --name Litware --bought MCOMEETADV=10",
        "payer put erin --country US --license MCOPSTN2",
        "payer put olga --country US --license MCOMEETADV",
        "funds add 40 --id INV-1",
        "limit set --open-calls 30 --open-calls-each 3 --block 1900",
        "policy set DialoutCPCZoneAPSTNInternational",
        f"call authorize erin {WASHINGTON} --id page-1",
        f"call authorize olga {BERLIN} --type CONF_OUT --id page-2",
        f"call authorize erin {LONDON} --id page-3 --seconds 90",
        "call settle page-3 61",
    ):
        assert shell.ask(*typed.split()).code == 0, typed
    page = shell.ask("tenant", "show", "litware").out
    for line in (
        ("Balance", "40.00 USD"),
        ("Recharge", "not set up"),
        ("Open calls", "2"),
        ("US/MCOPSTN2/domestic", "3,000", "10", "2,990", "99 %"),
        ("US/MCOPSTN2/international", "600", "2", "598", "99 %"),
        ("zone-a/MCOMEETADV", "10", "600", "590", "98 %"),
        ("Open calls at a time", "30", "3"),
        ("May not call", "+1900"),
        ("Policy", "DialoutCPCZoneAPSTNInternational", "Zone A"),
        ("Licences bought", "10 MCOMEETADV"),
    ):
        assert any(all(word in row for word in line) for row in page.splitlines()), (line, page)
    document = shell.ask("tenant", "show", "litware", "--json").document
    assert [pool["pool_id"] for pool in document["money"]["pools"]] == [
        "US/MCOPSTN2/domestic",
        "US/MCOPSTN2/international",
        "zone-a/MCOMEETADV",
    ]
    assert (document["max_open_calls"], document["money"]["open_calls"]) == (30, 2)
    journal = shell.ask("entries").out
    assert "US/MCOPSTN2/international" in journal
    assert shell.ask("conservation").code == 0


def test_a_batch_tells_how_many_legs_are_granted(served: Shell) -> None:
    served.ask("payer", "put", "olga", "--country", "US", "--license", "MCOMEETADV")
    asked = ("call", "batch", "olga", LONDON, BERLIN, PREMIUM, "--conference", "weekly")
    read = served.ask(*asked, "--id", "some")
    assert read.code == 3
    assert all(word in read.out for word in ("2 of 3 legs", "some-3", "zone-a/MCOMEETADV"))
    assert f"call quote olga {PREMIUM} --type CONF_OUT --tenant contoso" in read.out
    again = served.ask(*asked, "--id", "some", "--json").document
    assert (again["authorized_legs"], again["verdicts"][0]["replayed"]) == (2, True)
    none = served.ask(*asked, "--all-or-none", "--json").document
    reasons = [each["reason"] for each in none["verdicts"]]
    assert (none["authorized_legs"], reasons[:2]) == (0, ["BATCH_REFUSED"] * 2)


def test_a_batch_keeps_to_its_budget(served: Shell) -> None:
    """Ten minutes to London cost 0.30: the budget pays one leg, and a part of the second."""
    served.ask("payer", "put", "otto", "--country", "US", "--license", "MCOMEETACPEA")
    asked = ("call", "batch", "otto", LONDON, LONDON, LONDON, "--conference", "dear")
    verdicts = served.ask(*asked, "--budget", "0.45", "--json").document["verdicts"]
    assert [each["granted_seconds"] for each in verdicts] == [600, 300, 0]
    assert verdicts[2]["reason"] == "SPEND_LIMIT"


def test_too_many_legs_are_refused_before_anything_is_asked(served: Shell) -> None:
    refused = served.ask("call", "batch", "olga", *[LONDON] * 101)
    assert (refused.code, "at most 100" in refused.err) == (2, True)


def test_the_record_of_blocks_is_a_file_for_spreadsheets(served: Shell) -> None:
    """A reason that a spreadsheet would run as a formula is made harmless; newest first, times in UTC."""
    served.ask("payer", "put", "finn", "--country", "US", "--name", "Finn")
    served.ask("block", "add", "finn", "--reason", "=SUM(A1)")
    served.ask("block", "remove", "finn")
    shown = served.ask("block", "list", "--csv", "--last", "2").out
    head, newest, first = csv.reader(StringIO(shown))
    assert head == ["Payer", "Name", "Number", "Reason", "Action", "Time"]
    assert (newest[0], newest[4]) == ("finn", "unblocked")
    assert first[:5] == ["finn", "Finn", "", "'=SUM(A1)", "blocked"]
    assert first[5].endswith("Z")
    document = served.ask("block", "list", "--last", "1", "--json").document
    assert (len(document["blocks"]), document["blocks"][0]["blocked"]) == (1, False)


def test_a_swap_may_be_repeated(served: Shell) -> None:
    served.ask("payer", "put", "gina", "--country", "US", "--license", "MCOPSTN1")
    for _ in range(2):
        swapped = served.ask("licence", "swap", "gina", "MCOPSTN1", "MCOPSTN2", "--json")
        assert swapped.document["licenses"] == ["MCOPSTN2"]
