"""Every command that asks a service, once for people and once for programs."""

import pytest

from cli.command import Shell, at
from cli.conftest import LONDON

# The command, the exit code, words that people read, and where in the document a program finds what; where nothing is
# named, the document of an error has been looked at in another row.
ASKED: list[tuple[str, int, tuple[str, ...], dict[str, object]]] = [
    ("tenant show contoso", 0, ("Contoso", "ACTIVE", "600 s"), {"currency_code": "USD"}),
    ("tenant list", 0, ("contoso", "USD"), {"tenants.0.tenant_id": "contoso"}),
    (
        "tenant put fabrikam --currency EUR --country DE --default-rate 0.5",
        0,
        ("fabrikam", "0.50 EUR"),
        {"default_rate_per_minute_micros": 500_000, "default_grant_seconds": 600},
    ),
    ("tenant suspend fabrikam --cut", 0, ("SUSPENDED",), {"running_calls": "CUT"}),
    ("tenant resume fabrikam", 0, ("ACTIVE",), {"status": "ACTIVE"}),
    ("tenant show northwind", 4, ("no tenant northwind",), {}),
    ("tenant put bad,id", 2, ("TENANT has other characters",), {}),
    ("tenant put contoso --floor 5", 2, ("--floor is not from",), {}),
    ("tenant put northwind", 2, ("--currency and --country",), {}),
    ("tenant put contoso --currency GBP", 7, ("urrency",), {"error.reason": "CURRENCY_FIXED"}),
    ("payer show alice", 0, ("MCOPSTNC", "Communications credits"), {"payer_id": "alice"}),
    ("payer list", 0, ("alice", "bob"), {"payers.1.payer_id": "bob"}),
    (
        "payer put carol --country GB --license MCOPSTN1 --name Carol",
        0,
        ("Carol", "GB"),
        {"licenses.0": "MCOPSTN1"},
    ),
    ("payer show nobody", 4, ("There is no payer nobody.",), {"error.reason": "UNKNOWN_PAYER"}),
    ("payer put dave", 2, ("--country",), {}),
    ("funds add 2.50 --id INV-1", 0, ("2.50 USD",), {"balance.currency_code": "USD"}),
    ("funds add 2.51 --id INV-1", 7, ("another id",), {"error.reason": "IDEMPOTENCY_MISMATCH"}),
    (
        "balance",
        0,
        ("Free", "Spent from credits", "Spent today, invoice included", "Open calls"),
        {"balance.currency_code": "USD"},
    ),
    (
        "entries --reference first",
        0,
        ("FUND", "+100.00"),
        {"entries.0.settled_delta_micros": 10**8},
    ),
    ("conservation", 0, ("contoso", "to the last millionth"), {"conserved": True}),
    ("rates show +442079460018", 0, ("United Kingdom", "0.03"), {"rates.0.prefix": "44"}),
    ("rates activate first", 0, ("first", "yes"), {"active": True, "row_count": 2}),
    ("rates activate nope", 4, ("There is no deck nope",), {}),
    ("rates shadow nope", 4, ("There is no deck nope",), {}),
    ("rates shadow first", 0, ("Deck first is no shadow deck",), {"calls": 0}),
    ("rates activate first --rows 9", 7, ("Import it again",), {}),
    (f"call quote alice {LONDON}", 0, ("✓", "licence", "0.30 USD"), {"granted_seconds": 600}),
    (f"call quote bob {LONDON}", 3, ("✗", "MCOPSTNC"), {"reason": "NO_CREDITS_LICENSE"}),
    (
        f"call authorize alice {LONDON} --id a-1 --seconds 120",
        0,
        ("2 min", "0.06 USD", "deck first"),
        {"sources.0.amount_micros": 60_000, "call_id": "a-1"},
    ),
    (
        f"call authorize bob {LONDON} --id b-1",
        3,
        ("REFUSED: NO_CREDITS_LICENSE", f"call quote bob {LONDON} --tenant contoso"),
        {"call_id": "b-1"},
    ),
    ("call authorize alice 12 --id a-2", 2, ("TO is not",), {"error.faults.0.field": "to_number"}),
    ("call extend to-extend 600 --sequence 1", 0, ("20 min",), {"granted_seconds": 1200}),
    ("call extend nobody 600", 4, ("no call nobody",), {}),
    ("call settle to-settle 61", 0, ("0.06 USD", "billed 2 min"), {"charged_micros": 60_000}),
    ("call settle to-settle 62", 7, ("settled before",), {}),
    (
        f"call settle late-1 30 --payer alice --to {LONDON}",
        0,
        ("never authorized",),
        {"unreserved": True},
    ),
    ("call settle nobody 30", 4, ("call",), {}),
    ("call release to-release", 0, ("RELEASED",), {"state": "RELEASED"}),
    (
        "call show to-show",
        0,
        ("OPEN", "alice", LONDON),
        {"state": "OPEN", "call.payer_id": "alice"},
    ),
]


@pytest.mark.parametrize(
    ("typed", "code", "words", "found"), ASKED, ids=lambda each: str(each)[:40]
)
def test_a_command_answers_people_and_programs(
    served: Shell, typed: str, code: int, words: tuple[str, ...], found: dict[str, object]
) -> None:
    read = served.ask(*typed.split())
    assert (read.code, "Traceback" in read.err) == (code, False), read
    shown = read.out if code in (0, 3) else read.err
    assert all(word in shown for word in words), shown
    if not found:
        return
    parsed = served.ask(*typed.split(), "--json")
    assert parsed.code == code
    document = parsed.document if code in (0, 3) else {"error": parsed.error}
    assert {path: at(document, path) for path in found} == found


def test_a_first_answer_is_given_again(served: Shell) -> None:
    asked = ("call", "authorize", "alice", LONDON, "--id", "again-1")
    served.ask(*asked)
    assert "the first answer again" in served.ask(*asked).out
    more = ("call", "extend", "again-1", "60", "--sequence", "1")
    assert served.ask(*more).code == 0
    assert "the last answer again" in served.ask(*more).out


def test_the_next_extension_is_found_when_none_is_named(served: Shell) -> None:
    served.ask("call", "authorize", "alice", LONDON, "--id", "talk-1")
    for total in (660, 720):
        more = served.ask("call", "extend", "talk-1", "60", "--json")
        assert more.document["granted_seconds"] == total


def test_a_number_is_read_as_it_is_dialled(served: Shell) -> None:
    asked = ("call", "quote", "alice", "020 7946 0018", "--json")
    assert served.ask(*asked, "--region", "GB").document["country"] == "GB"
    refused = served.ask(*asked, "--region", "ZZ")
    assert (refused.code, refused.out) == (2, "")


def test_settings_that_are_not_named_stay(served: Shell) -> None:
    served.ask(
        "tenant", "put", "wingtip", "--currency", "USD", "--country", "US", "--name", "Wingtip"
    )
    changed = served.ask("tenant", "put", "wingtip", "--default-grant", "700", "--json").document
    assert (changed["display_name"], changed["default_grant_seconds"]) == ("Wingtip", 700)


def test_a_token_made_and_revoked_is_noticed(served: Shell) -> None:
    made = served.run(
        "token", "create", "--role", "auditor", "--tenant", "contoso", "--name", "audit", "--json"
    ).document
    asked = ("balance", "--token", made["token"])
    deadline_runs = 20
    assert any(served.run(*asked).code == 0 for _ in range(deadline_runs))
    forbidden = served.run("funds", "add", "1", "--id", "x-1", "--token", made["token"])
    assert (forbidden.code, "token list" in forbidden.err) == (6, True)
    assert served.run("token", "revoke", made["id"]).code == 0
    assert any(served.run(*asked).code == 6 for _ in range(deadline_runs))


def test_without_a_tenant_the_answer_names_the_option(served: Shell) -> None:
    refused = served.ask("balance", TALKTIME_TENANT="")
    assert (refused.code, "--tenant" in refused.err) == (2, True)


def test_the_operators_token_never_leaves_the_machine(served: Shell) -> None:
    refused = served.ask("balance", "--target", "calls.example.net:7788")
    assert (refused.code, "There is no token" in refused.err) == (6, True)


def test_the_doctor_finds_the_running_store(served: Shell) -> None:
    findings = served.ask("doctor", "--json").document["findings"]
    (store,) = [each for each in findings if each["check"] == "store"]
    assert (store["verdict"], "running" in store["found"]) == ("ok", True)
