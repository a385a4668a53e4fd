"""The command line: what it teaches, what it refuses, and what it leaves behind."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from talktime.v1.authorization_service_pb2 import AuthorizeRequest
from talktime_loadtest.command import main
from talktime_loadtest.preparing import Service
from talktime_loadtest.targets.bench import QUICK
from talktime_loadtest.targets.running import NAMES
from talktime_loadtest.targets.table import TARGETS, Unit, Verdict, said, target_of


def ran(*words: str) -> int:
    return main([str(word) for word in words])


def whom(service: Service) -> tuple[str, ...]:
    return ("--target", service.target, "--token", service.operator_token)


def test_a_run_shows_its_figures_and_writes_its_page(
    service: Service, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "load.html"
    quick = ("--seconds", "0.5", "--repeats", "1", "--warm-up", "0", "--tenants", "2")
    assert ran("run", *whom(service), *quick, "--json", "--report", str(report)) == 0
    told: dict[str, Any] = json.loads(capfd.readouterr().out)
    assert told["fine"]
    assert told["service"]["granted"] == told["service"]["settled"] > 0
    assert set(told["service"]["hdr"]) == {"authorize", "settle"}
    assert report.read_text().startswith("<!doctype html>")


def test_a_tenant_that_there_is_not_is_told_before_the_load(
    service: Service, capfd: pytest.CaptureFixture[str]
) -> None:
    nobody = ("--tenant", "nobody-knows", "--payer", "alice")
    assert ran("run", *whom(service), *nobody) == 1
    assert "UNKNOWN_TENANT" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("run", "--target", "nowhere"), "--target"),
        (("run", "--mix", "settle=1", "--start"), "--mix"),
        (("run", "--mix", "dance=1", "--start"), "--mix"),
        (("run", "--shape", "round", "--start"), "--shape"),
        (("run", "--engine", "steam", "--start"), "--engine"),
        (("run", "--processes", "9", "--start"), "--processes"),
        (("run", "--in-flight", "3", "--start"), "--in-flight"),
        (("run", "--seconds", "soon"), "--seconds"),
        (("run", "--tenant", "contoso", "--start"), "--payer"),
        (("run", "--token-file", "not-there"), "--token-file"),
        (("run", "--report", "not-there/page.html"), "--report"),
        (("targets", "--only", "everything"), "--only"),
        (("targets", "--fsync", "never"), "--fsync"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, tuple) else each,
)
def test_a_bad_argument_is_named(
    words: tuple[str, ...], named: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert ran(*words) == 2
    assert named in capfd.readouterr().err


@pytest.mark.parametrize("command", ["run", "targets", "body"])
def test_help_teaches_with_an_example(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert ran(command, "--help") == 0
    assert "Example:" in capfd.readouterr().out


def test_the_body_for_other_generators_is_a_whole_message(tmp_path: Path) -> None:
    file = tmp_path / "body"
    assert ran("body", str(file)) == 0
    compressed, length = struct.unpack(">BI", file.read_bytes()[:5])
    request = AuthorizeRequest.FromString(file.read_bytes()[5:])
    assert (compressed, length) == (0, len(file.read_bytes()) - 5)
    assert request.tenant_id == "loadtest-0001"


def test_every_target_has_a_row_and_every_row_a_target() -> None:
    assert sorted(NAMES) == sorted(TARGETS)
    assert target_of("exchange", "always").wanted == TARGETS["exchange-always"].wanted
    assert TARGETS["alone"].holds(1.4)
    assert not TARGETS["alone"].holds(1.41)
    assert not TARGETS["unary"].holds(0.74)
    assert said(50_000, Unit.PER_SECOND) == "50,000/s"


def test_rows_are_measured_and_judged(capfd: pytest.CaptureFixture[str]) -> None:
    """Small, and as an operator would: the command starts what it measures, and leaves nothing."""
    assert ran("targets", "--quick", "--json", "--only", "bytes-receipt") in (0, 1)
    said_to = capfd.readouterr()
    (run,) = json.loads(said_to.out)["runs"]
    assert [each["name"] for each in run] == ["bytes-open", "bytes-receipt", "conserved"]
    assert all(each["figure"] > 0 for each in run[:2]), run
    assert all(each["verdict"] in (Verdict.MET, Verdict.MISSED) for each in run)
    assert run[2]["verdict"] == Verdict.MET
    assert f"{QUICK.counted_calls:,}" in run[0]["note"]
    lines = said_to.err.splitlines()
    assert lines[0] == "bytes-open, bytes-receipt …"
    assert (
        f"  bytes-open: {run[0]['figure']:.0f} bytes, wanted ≤ 600 bytes, {run[0]['verdict']}"
        in lines
    )
    assert lines[-1] == "  conserved: 0 tenants, wanted ≤ 0 tenants, met"
