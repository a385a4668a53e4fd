"""`talktime payer import`: every bad row named, nothing stored with one, and safe to repeat however it ended."""

import signal
from pathlib import Path

import pytest

from cli.command import Shell, until
from talktime import Client, InvalidRequest, Payer
from talktime_server.commands.imports import Part, put_part
from talktime_server.commands.payer_file import PayerRow

HEAD = "payer_id,country,display_name,phone_number,licenses,dial_out_policy"
ROWS = 4_000


def sheet(folder: Path, *lines: str, head: str = HEAD) -> str:
    path = folder / "payers.csv"
    path.write_text("\n".join((head, *lines)) + "\n", encoding="utf-8")
    return str(path)


def crowd(name: str = "User") -> list[str]:
    return [
        f"user{each:05}@example.com,GB,{name} {each},+4420794{each:05},MCOPSTN2;MCOPSTNC,"
        for each in range(ROWS)
    ]


@pytest.fixture
def shell(served: Shell, request: pytest.FixtureRequest) -> Shell:
    """A tenant of the test's own."""
    tenant = f"import{abs(hash(request.node.name)) % 10**9}"
    made = served.ask("tenant", "put", tenant, "--currency", "USD", "--country", "US")
    assert made.code == 0
    return Shell(served.state, {**served.variables, "TALKTIME_TENANT": tenant}, served.mark)


def client(shell: Shell) -> Client:
    token = (shell.state / "operator.token").read_text().strip()
    variables = shell.variables
    return Client(
        variables["TALKTIME_TARGET"], token, tenant_id=variables["TALKTIME_TENANT"], timeout_s=2
    )


def test_thousands_are_imported_once_and_counted_in_their_pool(
    shell: Shell, tmp_path: Path
) -> None:
    file = sheet(tmp_path, *crowd())
    first = shell.ask("payer", "import", file)
    assert (first.code, "4,000 payers are new" in first.out) == (0, True), first
    again = shell.ask("payer", "import", file, "--json").document
    assert (again["created"], again["changed"], again["unchanged"]) == (0, 0, ROWS)
    renamed = shell.ask("payer", "import", sheet(tmp_path, *crowd("Name")), "--json").document
    assert (renamed["changed"], renamed["unchanged"]) == (ROWS, 0)
    pool = shell.ask("pool", "show", "GB/MCOPSTN2/international", "--json").document
    assert (pool["licenses"], pool["size_seconds"]) == (ROWS, ROWS * 600 * 60)


def test_an_interrupted_import_is_run_again(shell: Shell, tmp_path: Path) -> None:
    file = sheet(tmp_path, *crowd())
    running = shell.start("payer", "import", file)
    with client(shell) as asked:
        until(lambda: next(asked.list_payers(page_size=1), None), within_s=30)
    running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=30)
    assert running.returncode in (0, 130)
    assert running.returncode == 0 or "Run it again" in told
    mended = shell.ask("payer", "import", file, "--json").document
    assert mended["created"] + mended["unchanged"] == ROWS
    assert mended["unchanged"] > 0
    with client(shell) as asked:
        assert sum(1 for _ in asked.list_payers(page_size=500)) == ROWS


def test_every_bad_row_is_named_and_nothing_is_stored(shell: Shell, tmp_path: Path) -> None:
    file = sheet(
        tmp_path,
        "good,US,Good,,MCOPSTN1,",
        "bad id,UK,\N{ZERO WIDTH NO-BREAK SPACE}x,12,NOPE,Nope",
        "good,US,,,,",
        "lone,US,,,MCOPSTNC,",
        "short,US",
        ",,,,,",
        '"open,US,,,,',
    )
    read = shell.ask("payer", "import", file)
    assert (read.code, read.out) == (1, "")
    assert "nothing was stored" in read.err
    faults = shell.ask("payer", "import", file, "--json").error["faults"]
    assert [(each["line"], each["field"], each["rule"]) for each in faults] == [
        (3, "payer_id", "BAD_CHARSET"),
        (3, "display_name", "BAD_CHARSET"),
        (3, "phone_number", "NOT_E164"),
        (3, "country", "UNKNOWN_COUNTRY"),
        (3, "licenses", "UNKNOWN_LICENSE"),
        (3, "dial_out_policy", "UNKNOWN_POLICY"),
        (4, "payer_id", "DUPLICATE_PAYER"),
        (5, "licenses", "CREDITS_LICENSE_ALONE"),
        (6, "", "FIELD_COUNT"),
        (7, "payer_id", "MISSING_FIELD"),
        (7, "country", "MISSING_FIELD"),
        (8, "", "UNREADABLE"),
    ]
    assert all(each["rule"] in read.err for each in faults)
    assert shell.ask("payer", "list", "--json").document["payers"] == []


def test_bad_rows_may_be_left_out(shell: Shell, tmp_path: Path) -> None:
    file = sheet(tmp_path, "good,US,,,MCOPSTN1,", "bad,UK,,,,", "lone,US,,,MCOPSTNC,")
    read = shell.ask("payer", "import", file, "--skip-bad", "--json")
    assert read.code == 0
    assert (read.document["created"], read.document["skipped_rows"]) == (1, 2)
    assert [each["line"] for each in read.document["faults"]] == [3, 4]
    told = shell.ask("payer", "import", file, "--skip-bad")
    assert "2 rows were bad" in told.out
    assert "UNKNOWN_COUNTRY" in told.err


def test_a_file_wrong_throughout_is_told_in_short(shell: Shell, tmp_path: Path) -> None:
    file = sheet(tmp_path, *(f"payer-{each},UK,,,," for each in range(1_200)))
    read = shell.ask("payer", "import", file)
    assert "1,200 faults" in read.err
    assert "The first 50 are shown" in read.err
    assert read.err.count("UNKNOWN_COUNTRY") == 50
    assert len(shell.ask("payer", "import", file, "--json").error["faults"]) == 1_000


def test_what_a_file_has_no_column_for_stays(shell: Shell, tmp_path: Path) -> None:
    """A new phone list takes nobody's licences, limits or block away; an empty cell empties."""
    with client(shell) as asked:
        asked.put_payer(Payer("hal", "US", ("MCOPSTN1", "MCOPSTNC"), "Hal", max_open_calls=3))
        asked.block_payer("hal", "left")
        file = sheet(tmp_path, "+12025550147,US,hal", head="\ufeffphone_number,country,payer_id")
        assert shell.ask("payer", "import", file).code == 0
        hal = asked.get_payer("hal")
        assert (hal.phone_number, hal.max_open_calls, hal.blocked) == ("+12025550147", 3, True)
        assert (hal.licenses, hal.display_name) == (("MCOPSTN1", "MCOPSTNC"), "Hal")
        file = sheet(tmp_path, "US,hal,h@example", head="country,payer_id,user_principal_name")
        assert shell.ask("payer", "import", file).code == 0
        assert asked.get_payer("hal").user_principal_name == "h@example"
        file = sheet(tmp_path, "US,hal,,", head="country,payer_id,display_name,licenses")
        assert shell.ask("payer", "import", file).code == 0
        hal = asked.get_payer("hal")
        assert (hal.licenses, hal.display_name, hal.phone_number) == ((), "", "+12025550147")


def test_who_has_the_credits_licence_keeps_it(shell: Shell, tmp_path: Path) -> None:
    with client(shell) as asked:
        asked.put_payer(Payer("ida", "US", ("MCOPSTN1", "MCOPSTNC")))
    file = sheet(tmp_path, "ida,US,Ida,,MCOPSTNC,")
    assert shell.ask("payer", "import", file).code == 0


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "EMPTY_FILE"),
        (b"payer_id,payer_id,shoe\n", "UNKNOWN_COLUMN"),
        (b"payer_id,payer_id,country\n", "DUPLICATE_COLUMN"),
        (b"payer_id\nx\n", "MISSING_COLUMN"),
        (b"payer_id,country\n", "NO_ROWS"),
        (b"\xff\xfe", "UTF-8"),
    ],
)
def test_what_is_no_sheet_of_payers_is_refused(
    served: Shell, tmp_path: Path, content: bytes, told: str
) -> None:
    file = tmp_path / "payers.csv"
    file.write_bytes(content)
    refused = served.ask("payer", "import", str(file))
    assert (refused.code, told in refused.err) == (1, True), refused


def test_an_unknown_tenant_and_file_are_named(served: Shell, tmp_path: Path) -> None:
    file = sheet(tmp_path, "a,US,,,,")
    assert served.ask("payer", "import", file, "--tenant", "nowhere").code == 4
    refused = served.ask("payer", "import", str(tmp_path / "none.csv"))
    assert (refused.code, "none.csv" in refused.err) == (2, True)


def test_rows_that_the_service_refuses_are_traced_to_their_lines(shell: Shell) -> None:
    """It checks by newer rules, perhaps; here it is sent what the file's own check would have found."""
    rows = tuple(PayerRow(line, f"payer-{line}", "US") for line in (2, 5, 9))
    payers = [Payer(row.payer_id, row.country) for row in rows]
    payers[1] = Payer("payer-5", "UK", ("NOPE",))
    part = Part(rows, tuple(payers))
    with client(shell) as asked:
        with pytest.raises(InvalidRequest):
            put_part(asked, part, skip_bad=False)
        came = put_part(asked, part, skip_bad=True)
        stored = [each.payer_id for each in asked.list_payers()]
    assert (came.created, stored) == (2, ["payer-2", "payer-9"])
    assert {(each.line, each.field, each.rule) for each in came.faults} == {
        (5, "country", "UNKNOWN_COUNTRY"),
        (5, "licenses[0]", "UNKNOWN_LICENSE"),
    }
