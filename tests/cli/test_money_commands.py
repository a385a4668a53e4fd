"""The commands for funds, recharges, notices and usage: for people, for programs, and each refusal's sentence."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli import workbook_check
from cli.command import Shell, at, until
from cli.conftest import LONDON
from talktime import Client

# Long enough for a service on a busy machine to write a call into its record.
RECORDED_WITHIN_S = 30.0

# The command, the exit code, words that people read, and where in the document a program finds what. In this order.
ASKED: list[tuple[str, int, tuple[str, ...], dict[str, object]]] = [
    ("funds show", 0, ("No credits are left", "not set up"), {"lots": [], "recharge": None}),
    (
        "funds add 25 --id INV-1 --purchase-order PO-77",
        0,
        ("25.00 USD", "Unused credits end"),
        {"balance.settled_micros": 25_000_000},
    ),
    (
        "funds add 25 --id INV-1 --purchase-order PO-78",
        7,
        ("Choose another id",),
        {"error.reason": "IDEMPOTENCY_MISMATCH"},
    ),
    (
        "funds adjust -2.50 --id ADJ-1 --reason twice",
        0,
        ("-2.50 USD", "22.50 USD"),
        {"balance.settled_micros": 22_500_000, "replayed": True},
    ),
    (
        "funds adjust 1 --id ADJ-2 --reason goodwill --expire-days 30",
        0,
        ("+1.00 USD", "23.50 USD"),
        {"balance.settled_micros": 23_500_000},
    ),
    ("funds add 0 --id INV-0", 2, ("AMOUNT is not from 0.000001 to 1,000,000.00",), {}),
    ("funds adjust 0 --id ADJ-3 --reason nothing", 2, ("AMOUNT",), {}),
    ("funds adjust -1 --id ADJ-4", 2, ("--reason",), {}),
    (
        "funds refund 5 --of INV-1 --id RF-1 --reason cancelled",
        0,
        ("Taken back of INV-1, in all", "5.00 USD", "18.50 USD"),
        {"funding_refunded_micros": 5_000_000, "replayed": True},
    ),
    (
        "funds refund 50 --of INV-1 --id RF-2 --reason cancelled",
        7,
        ("entries --reference",),
        {"error.reason": "REFUND_LIMIT"},
    ),
    (
        "funds refund 5 --of INV-9 --id RF-3 --reason cancelled",
        4,
        ("no funding INV-9",),
        {"error.reason": "UNKNOWN_FUNDING"},
    ),
    (
        "funds refund 1 --of INV-1 --id RF-4 --reason bank --chargeback",
        0,
        ("6.00 USD",),
        {"funding_refunded_micros": 6_000_000},
    ),
    (
        "funds show",
        0,
        ("INV-1", "25.00", "ADJ-2", "1.00"),
        {"lots.0.funding_id": "INV-1", "lots.1.funding_id": "ADJ-2"},
    ),
    ("entries", 0, ("CHARGEBACK", "goodwill", "Why"), {"entries.0.reason": ""}),
    ("funds watch --count 1", 0, ("Balance", "17.50", "not set up"), {}),
    (
        "recharge show",
        4,
        ("never had a recharge rule", "recharge set"),
        {"error.reason": "NO_RECHARGE_RULE"},
    ),
    ("recharge set --off", 2, ("no rule yet", "--trigger, --amount, --method"), {}),
    ("recharge set --trigger 50 --amount 60 --method secret", 2, ("GATEWAY:CUSTOMER:TOKEN",), {}),
    (
        "recharge set --trigger 50 --amount 60 --method nobody:customer:token",
        2,
        ("--method names a provider that is not", "TALKTIME_STRIPE_KEY_FILE"),
        {"error.faults.0.field": "rule.payment_methods[0].gateway"},
    ),
    ("recharge history", 0, ("Charge",), {"steps": []}),
    ("recharge resume --charge c-1", 2, ("--charge and --outcome",), {}),
    ("recharge resume --charge c-1 --outcome perhaps", 2, ("CHARGED, NOT_CHARGED",), {}),
    (
        "notices show",
        0,
        ("no level is set", "30 days before", "Nobody is told"),
        {"webhooks": []},
    ),
    ("notices set", 2, ("--low-balance",), {}),
    (
        "notices set --low-balance 20 --low-balance 100.50 --expiry-days 14",
        0,
        ("100.50 USD, 20.00 USD", "14 days before"),
        {"settings.low_balance_micros": [100_500_000, 20_000_000]},
    ),
    (
        "notices set --low-balance 0",
        0,
        ("no level", "14 days"),
        {"settings.low_balance_micros": []},
    ),
    (
        "notices admin add kim@example.com --role License+Administrator --language ko --name Kim",
        0,
        ("kim@example.com", "Kim", "ko", "License Administrator"),
        {"settings.admins.0.roles": ["License Administrator"]},
    ),
    (
        "notices admin add KIM@example.com --role Helpdesk+Administrator",
        0,
        ("Helpdesk Administrator", "en"),
        {"settings.admins.0.email": "KIM@example.com"},
    ),
    (
        "notices admin add nobody --role Chef",
        2,
        ("EMAIL", "--role"),
        {"error.faults.1.rule": "UNKNOWN_ROLE"},
    ),
    ("notices admin remove lee@example.com", 4, ("notices show",), {}),
    (
        "notices webhook put hook http://example.com/",
        2,
        ("URL is not https",),
        {"error.reason": "BAD_URL"},
    ),
    ("notices webhook put hook https://example.com/ --kind LUNCH", 2, ("BALANCE_LOW",), {}),
    ("notices webhook rotate nowhere", 4, ("no webhook nowhere",), {}),
    ("notices webhook remove nowhere", 4, ("no webhook nowhere",), {}),
    ("notices replay", 2, ("NOTICE, or --all",), {}),
    ("notices replay --all", 0, ("0 deliveries are",), {"deliveries": 0}),
    ("notices admin remove kim@EXAMPLE.com", 0, ("Nobody is told",), {}),
    ("usage report --by weather", 2, ("destination",), {}),
    ("usage report --from 2026-12-02 --to 2026-12-01", 2, ("after --to",), {}),
    ("usage report --from yesterday", 2, ("2026-11-21",), {}),
    ("usage calls --type robot", 2, ("USER_OUT_CONF",), {}),
    (
        "payer put alice --country US --license MCOPSTN1 --license MCOPSTNC --user-principal-name a@example.com",
        0,
        ("a@example.com",),
        {"user_principal_name": "a@example.com"},
    ),
    (
        "usage pools",
        0,
        ("US/MCOPSTN1", "Domestic calling plan", "3,000"),
        {"pools.0.total_minutes": 3000, "pools.0.capability": "MCOPSTN1"},
    ),
    ("usage blocked", 0, ("Reason",), {"blocks": []}),
    ("balance", 0, ("Recharge", "not set up"), {"days_left": None}),
]


@pytest.fixture(scope="module")
def shell(served: Shell) -> Shell:
    """A tenant for money."""
    made = served.ask("tenant", "put", "fabrikam", "--currency", "USD", "--country", "US")
    assert made.code == 0
    return Shell(served.state, {**served.variables, "TALKTIME_TENANT": "fabrikam"}, served.mark)


@pytest.fixture
def client(shell: Shell) -> Iterator[Client]:
    token = (shell.state / "operator.token").read_text().strip()
    with Client(
        shell.variables["TALKTIME_TARGET"], token, tenant_id="fabrikam", timeout_s=2
    ) as client:
        yield client


def test_commands_answer_people_and_programs(shell: Shell) -> None:
    """One after the other: each is asked twice, and does once what it does."""
    for typed, code, words, found in ASKED:
        line = [word.replace("+", " ") if "Admin" in word else word for word in typed.split()]
        read = shell.ask(*line)
        assert read.code == code, (typed, read)
        shown = read.out if code == 0 else read.err
        assert all(word in shown for word in words), (typed, shown)
        if found:
            parsed = shell.ask(*line, "--json")
            document = parsed.document if parsed.code == 0 else {"error": parsed.error}
            assert {path: at(document, path) for path in found} == found, typed


def test_a_secret_is_shown_once(shell: Shell) -> None:
    line = ("notices", "webhook", "put", "ops", "https://hooks.example.com/x", "--kind", "pool-80")
    made = shell.ask(*line)
    assert (made.code, made.out.count("whsec_"), "Keep the secret" in made.out) == (0, 1, True), (
        made
    )
    again = shell.ask(*line)
    assert (again.code, "whsec_" in again.out, "POOL_80" in again.out) == (0, False, True)
    rotated = shell.ask("notices", "webhook", "rotate", "ops", "--json").document
    assert rotated["secret"].startswith("whsec_")
    assert rotated["secret"] not in made.out
    assert "whsec_" not in shell.ask("notices", "show", "--json").out
    assert shell.ask("notices", "webhook", "remove", "ops").code == 0
    assert shell.ask("notices", "webhook", "remove", "ops").code == 4


def test_a_test_notice_is_listed_until_it_is_told(shell: Shell) -> None:
    line = ("notices", "admin", "add", "lee@example.com", "--role", "Billing Administrator")
    assert shell.ask(*line).code == 0
    sent = shell.ask("notices", "test", "--json").document
    assert [each["recipient"] for each in sent["deliveries"]] == ["lee@example.com"]
    listed = shell.ask("notices", "list", "--last", "1", "--json").document["notices"]
    assert [each["notice_id"] for each in listed] == [sent["notice_id"]]
    assert "lee@example.com" in shell.ask("notices", "list").out
    assert shell.ask("notices", "admin", "remove", "lee@example.com").code == 0


def test_a_watch_tells_each_change_in_a_line(shell: Shell, client: Client) -> None:
    watching = shell.start("funds", "watch", "--count", "2", "--json")
    assert watching.stdout is not None
    first = json.loads(watching.stdout.readline())
    client.add_funds("WATCHED", 1_000_000)
    second = json.loads(watching.stdout.readline())
    rest, error = watching.communicate(timeout=30)
    assert (watching.returncode, rest, error) == (0, "", "")
    gained = second["balance"]["settled_micros"] - first["balance"]["settled_micros"]
    assert (gained, second["version"] > first["version"]) == (1_000_000, True)


def test_a_watch_ends_when_it_is_interrupted(shell: Shell) -> None:
    watching = shell.start("funds", "watch")
    assert watching.stdout is not None
    assert "Balance" in watching.stdout.readline()
    assert "USD" not in watching.stdout.readline()
    watching.send_signal(signal.SIGINT)
    _, error = watching.communicate(timeout=30)
    assert (watching.returncode, error) == (130, "")


@pytest.fixture(scope="module")
def calls(shell: Shell) -> Shell:
    """Three calls that ended, in the record."""
    for typed in (
        "payer put dora --country US --license MCOPSTN1 --license MCOPSTNC --name =Dora",
        "payer put olga --country US --license MCOMEETADV",
        "funds add 100 --id CALLS",
        f"call authorize dora {LONDON} --id usage-1",
        f"call authorize dora {LONDON} --id usage-2",
        f"call authorize olga {LONDON} --type CONF_OUT --conference weekly --id usage-3",
        "call settle usage-1 61",
        "call settle usage-2 600",
        "call settle usage-3 120",
    ):
        assert shell.ask(*typed.split()).code == 0, typed
    rows = ("usage", "calls", "--json")
    until(lambda: len(shell.ask(*rows).document["rows"]) == 3, RECORDED_WITHIN_S)
    return shell


def test_calls_are_listed_newest_first(calls: Shell) -> None:
    shown = calls.ask("usage", "calls").out
    assert all(word in shown for word in ("usage-1", "user_out", "conf_out", "United Kingdom"))
    newest = calls.ask("usage", "calls", "--last", "1", "--json").document["rows"]
    assert [each["call_id"] for each in newest] == ["usage-3"]
    dora = calls.ask("usage", "calls", "--payer", "dora", "--type", "user-out", "--json").document
    assert [each["charge_micros"] for each in dora["rows"]] == [300_000, 60_000]


@pytest.mark.parametrize(
    ("by", "keys"),
    [
        ("payer", ["dora", "olga"]),
        ("type", ["USER_OUT", "CONF_OUT"]),
        ("licence", ["MCOPSTNPP", "MCOMEETADD"]),
        ("country", ["GB"]),
        ("organizer", ["olga"]),
    ],
)
def test_usage_is_summed_up(calls: Shell, by: str, keys: list[str]) -> None:
    told = calls.ask("usage", "report", "--by", by, "--json").document
    assert [each["key"].upper() for each in told["lines"]] == [key.upper() for key in keys]
    shown = calls.ask("usage", "report", "--by", by)
    assert (shown.code, "Everything" in shown.out) == (0, True)
    assert keys[0].upper() in shown.out.upper()


def test_conferences_are_summed_up_by_organizer(calls: Shell) -> None:
    (line,) = calls.ask("usage", "conferences", "--json").document["lines"]
    assert (line["key"], line["calls"], line["duration_seconds"]) == ("olga", 1, 120)


def test_operators_see_every_tenant(calls: Shell) -> None:
    everybody = Shell(calls.state, {**calls.variables, "TALKTIME_TENANT": ""}, calls.mark)
    told = everybody.ask("usage", "report", "--by", "tenant", "--json").document
    assert "fabrikam" in [each["key"] for each in told["lines"]]


@pytest.mark.parametrize("kind", ["csv", "zip", "xlsx"])
def test_calls_are_exported(calls: Shell, tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"calls.{kind}"
    told = calls.ask("export", "--out", str(file), "--json").document
    assert (told["format"], told["rows"], told["bytes"]) == (kind, 3, file.stat().st_size)
    assert told["sums"][0]["charge_micros"] == 360_000
    shown = calls.ask("export", "--out", str(file))
    assert (shown.code, "0.36 USD" in shown.out) == (0, True)


def test_the_sums_of_an_exported_workbook_are_the_ledgers(
    calls: Shell, client: Client, tmp_path: Path
) -> None:
    file = tmp_path / "calls.xlsx"
    assert calls.ask("export", "--format", "xlsx", "--out", str(file)).code == 0
    sheets = workbook_check.sheets_of(file, tmp_path)
    spent_micros = client.get_balance().spent_micros
    assert workbook_check.spend_of_calls(sheets) == (3, spent_micros)
    for title in ("Everything", "By day (UTC)", "By destination"):
        assert workbook_check.spend_of_summary(sheets, title) == (3, spent_micros)


def test_an_export_may_pick(calls: Shell, tmp_path: Path) -> None:
    file = tmp_path / "some.csv"
    line = ("export", "--type", "conf_out", "--payer", "olga", "--out", str(file))
    assert calls.ask(*line, "--json").document["rows"] == 1
    assert "olga" in file.read_text()
    assert calls.ask("export", "--country", "fr", "--out", str(file)).code == 0
    assert len(file.read_text().splitlines()) == 1
    long_ago = calls.ask("export", "--from", "2020-01-01", "--to", "2020-01-31", "--out", str(file))
    assert (long_ago.code, "--from is more than 366 days ago" in long_ago.err) == (2, True)
    assert len(file.read_text().splitlines()) == 1


def test_an_export_that_cannot_be_written_says_so(calls: Shell, tmp_path: Path) -> None:
    refused = calls.ask("export", "--out", str(tmp_path / "nowhere" / "calls.csv"))
    assert (refused.code, "cannot be written" in refused.err) == (1, True)


def test_an_export_of_nobody_leaves_no_file(alone: Shell, tmp_path: Path) -> None:
    """Without a token, or a service."""
    file = tmp_path / "calls.csv"
    assert alone.ask("export", "--out", str(file)).code == 6
    assert alone.ask("export", "--out", str(file), "--token", "x").code == 5
    assert list(tmp_path.iterdir()) in ([], [alone.state])


def test_the_archive_says_how_far_it_is(calls: Shell) -> None:
    told = calls.ask("archive", "status", "--json").document
    assert (told["alarms"], told["entries"] > 0) == ([], True)
    assert "Nothing is wrong" in calls.ask("archive", "status").out


def test_advice_says_why(calls: Shell) -> None:
    told = calls.ask("advice", "--json").document
    assert (told["trigger_micros"], len(told["reasoning"]) > 0) == (0, True)
    shown = calls.ask("advice")
    assert (shown.code, told["reasoning"][0] in shown.out) == (0, True)
