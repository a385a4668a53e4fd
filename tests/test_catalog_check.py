"""`talktime catalog`: the built-in facts beside another set of the same ones."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from house import HOUSE
from talktime_server.commands import catalogue, fact_tables

SHARED = HOUSE.parent / "shared" / "data"


def ask(*arguments: str) -> Result:
    return CliRunner().invoke(catalogue.group, arguments)


@pytest.fixture
def facts(tmp_path: Path) -> Path:
    """A copy of the other facts, to be spoiled."""
    if not SHARED.is_dir():
        pytest.skip("the other facts are not beside this checkout (../shared/data)")
    for subject in fact_tables.SUBJECTS:
        shutil.copy(SHARED / subject.file, tmp_path / subject.file)
        (tmp_path / subject.file).chmod(0o644)
    return tmp_path


def checked(folder: Path, code: int) -> dict[str, Any]:
    done = ask("check", "--against", str(folder), "--json")
    assert done.exit_code == code, done.output
    document = json.loads(done.stdout)
    return {each["file"]: each for each in document["files"]}


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_the_built_in_facts_are_those_of_the_other_set(facts: Path) -> None:
    files = checked(facts, 0)
    assert not [each["differences"] for each in files.values() if each["differences"]]
    for name, compared in files.items():
        with (facts / name).open(encoding="utf-8", newline="") as lines:
            assert compared["same"] == len(list(csv.DictReader(lines))), name


def test_what_only_ours_has_is_told_with_its_reason(facts: Path) -> None:
    files = checked(facts, 0)
    beyond = {name: {each["key"] for each in files[name]["beyond"]} for name in files}
    assert beyond["license_capabilities.csv"] == {"CONF_DIALOUT_US_CA", "PAYG_MEXICO"}
    assert beyond["premium_number_rules.csv"] == {
        "AT shared_cost",
        "FR shared_cost",
        "* shared_cost",
    }
    assert beyond["plan_allowances.csv"] == {"* MCOPSTN8"}
    longer = {key.split()[1] for key in beyond["emergency_numbers.csv"]}
    assert all(len(number) > 4 or number in ("2611", "9999") for number in longer)


SPOILED = [
    ("plan_allowances.csv", "GB,United Kingdom,domestic,MCOPSTN1,3000", "GB,,domestic,MCOPSTN1,1200", "GB MCOPSTN1"),
    ("plan_allowances.csv", "yes,US,independent,country page", "yes,PR,independent,country page", "PR MCOPSTN1"),
    ("license_capabilities.csv", "MCOMEETADD,MCOMEETADV", "MCOMEETADD,MCOMEETADX", "MCOMEETADD"),
    ("license_capabilities.csv", "FREECALL", "GIVEAWAY", "GIVEAWAY"),
    ("conferencing_zone_a.csv", "GR,Greece", "GL,Greenland", "GL"),
    ("conferencing_allowances.csv", "MCOMEETADD_DIALOUT_US,60", "MCOMEETADD_DIALOUT_US,90", "MCOMEETADD_DIALOUT_US"),
    ("international_plan_destinations.csv", "AN,Netherlands", "CU,Netherlands", "CU"),
    ("premium_number_rules.csv", "GB,449,premium,no", "GB,449,premium,yes", "GB 449"),
    ("dial_out_policies.csv", "DialoutCPCandPSTNDisabled,none", "DialoutCPCandPSTNDisabled,any", "DialoutCPCandPSTNDisabled"),
    ("emergency_numbers.csv", "US,911", "US,933", "US 911"),
    ("call_types.csv", "conf_in,in,organizer", "conf_in,in,user", "conf_in"),
    ("country_availability.csv", "BH,Bahrain,no,no", "BH,Bahrain,no,yes", "BH"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "old", "new", "key"), SPOILED)
def test_a_difference_is_named_by_file_and_key(
    facts: Path, name: str, old: str, new: str, key: str
) -> None:
    change(facts / name, old, new)
    files = checked(facts, 1)
    assert key in {each["key"] for each in files[name]["differences"]}
    assert not [other for other in files if other != name and files[other]["differences"]]


def test_every_file_is_spoiled_once() -> None:
    assert {name for name, *_ in SPOILED} == {subject.file for subject in fact_tables.SUBJECTS}


def test_a_person_sees_both_sides(facts: Path) -> None:
    change(facts / "country_availability.csv", "BH,Bahrain,no,no", "BH,Bahrain,no,yes")
    done = ask("check", "--against", str(facts))
    assert done.exit_code == 1
    assert "no; no" in done.stdout
    assert "no; yes" in done.stdout
    assert "They differ." in done.stdout


def test_nothing_to_compare_with_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = ask("check")
    assert done.exit_code == 2
    assert "There is nothing to compare with" in done.stderr
    done = ask("check", "--against", "nowhere")
    assert done.exit_code == 2
    assert "nowhere: there is no such folder." in done.stderr


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    first = tmp_path / fact_tables.SUBJECTS[0].file
    assert ask("check", "--against", str(tmp_path)).exit_code == 2
    first.write_text("usage_capability,pooled\nMCOPSTN1,yes\n")
    done = ask("check", "--against", str(tmp_path))
    assert "has no column license_sku" in done.stderr
    first.write_bytes(b"\xff\xfe")
    assert "not UTF-8" in ask("check", "--against", str(tmp_path)).stderr


def test_a_fact_file_can_be_printed() -> None:
    listed = ask("show")
    assert "dial_out_policies" in listed.stdout
    document = json.loads(ask("show", "plan_allowances.csv", "--json").stdout)
    assert document["rows"][0]["sku"] == "MCOPSTN8"
    assert "DialoutCPCandPSTNDomestic" in ask("show", "dial_out_policies").stdout
    assert ask("show", "nothing").exit_code == 4
