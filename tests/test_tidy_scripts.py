"""The store's scripts keep one shape: why, inputs and outputs on top; then the ladder; then the writes."""

import re
from functools import cache
from pathlib import Path

import pytest

from house import SCRIPTS, python_files, text

LONGEST_SCRIPT = 80
LONGEST_BOOK = 200
THE_LINE = "-- After this point it must succeed."
WRITES = (
    "SET",
    "DEL",
    "INCR",
    "ADD",
    "REM",
    "EXPIRE",
    "PUSH",
    "POP",
    "TRIM",
    "RENAME",
    "PERSIST",
    "UNLINK",
    "STORE",
)
HEADER = (r"\A-- [A-Z].*\.$", r"^-- A script, because .*", r"^-- KEYS", r"^-- ARGV", r"^-- Returns")
NAMED_INPUT = re.compile(r"^local [\w, ]+ = (?:(?:KEYS|ARGV)\[\d+\](?:, )?)+$")
CALL = re.compile(r'redis\.p?call\("([A-Z]+)"')
OPERAND = r'("[^"]*"|[\w.]+\([^()]*(?:\([^()]*\))?[^()]*\)|[\w.\[\]]+)'
JOIN = re.compile(rf"{OPERAND} \.\. (?={OPERAND})")


def scripts() -> list[Path]:
    """Every decision; the text that they share (book.lua) is none."""
    return [script for script in sorted(SCRIPTS.glob("*.lua")) if script.stem != "book"]


def code_of(script: Path) -> str:
    return "\n".join(line.split("--")[0].rstrip() for line in script.read_text().splitlines())


def writes_directly(code: str) -> bool:
    return any(any(word in command for word in WRITES) for command in CALL.findall(code))


@cache
def shared_writers() -> frozenset[str]:
    """The functions of book.lua that write, themselves or through one another."""
    if not (SCRIPTS / "book.lua").exists():
        return frozenset()
    code = code_of(SCRIPTS / "book.lua")
    bodies = dict(re.findall(r"^local function (\w+)(.*?)^end$", code, re.MULTILINE | re.DOTALL))
    writers = {name for name, body in bodies.items() if writes_directly(body)}
    for _ in bodies:
        writers |= {name for name, body in bodies.items() if calls_one_of(body, writers)}
    return frozenset(writers)


def calls_one_of(code: str, names: set[str] | frozenset[str]) -> bool:
    return any(re.search(rf"\b{name}\(", code) for name in names)


@pytest.mark.parametrize("script", scripts(), ids=lambda script: script.stem)
def test_a_script_opens_with_its_purpose_its_reason_its_inputs_and_its_answers(
    script: Path,
) -> None:
    header = re.split(r"^(?!--)", script.read_text(), maxsplit=1, flags=re.MULTILINE)[0]
    missing = [shape for shape in HEADER if not re.search(shape, header, re.MULTILINE)]
    assert not missing


@pytest.mark.parametrize("script", scripts(), ids=lambda script: script.stem)
def test_inputs_have_names(script: Path) -> None:
    """KEYS and ARGV are named in the first lines, or by the parameters of the decision; then the words do not appear."""
    bare = [
        line
        for line in code_of(script).splitlines()
        if re.search(r"\b(KEYS|ARGV)\b", line) and not NAMED_INPUT.match(line)
    ]
    assert not bare


@pytest.mark.parametrize("script", scripts(), ids=lambda script: script.stem)
def test_a_script_that_writes_says_from_where_on_it_must_succeed(script: Path) -> None:
    """Below the line nothing may raise, for a script that fails midway keeps its earlier writes."""
    code = code_of(script)
    writes = writes_directly(code) or calls_one_of(code, shared_writers())
    _, line, below = script.read_text().partition(THE_LINE)
    assert bool(line) == writes, f"{THE_LINE} belongs in a script exactly when it writes"
    assert not line or not re.search(r"\b(error|assert|whole)\(", below)


@pytest.mark.parametrize("script", scripts(), ids=lambda script: script.stem)
def test_numbers_become_text_exactly(script: Path) -> None:
    """`tostring` and `..` lose digits from 10^14 on: what is joined is text already, or made by `text`."""
    code = code_of(script)
    given = set(re.findall(r"\w+", " ".join(re.findall(r"function \w+\(([^)]*)\)", code))))
    changed = set(re.findall(r"\w+", " ".join(re.findall(r"^\s*([\w, ]+) = ", code, re.MULTILINE))))
    joined = {side for pair in JOIN.findall(code) for side in pair}
    doubtful = {
        side
        for side in joined
        if not side.startswith(('"', "text(", "texts(")) and side not in given - changed
    }
    assert not doubtful
    assert "tostring(" not in code


def test_scripts_are_short() -> None:
    long = {script.name: n for script in scripts() if (n := lines_of(script)) > LONGEST_SCRIPT}
    assert not long
    assert not (SCRIPTS / "book.lua").exists() or lines_of(SCRIPTS / "book.lua") <= LONGEST_BOOK


def lines_of(script: Path) -> int:
    return len(script.read_text().splitlines())


def test_every_script_is_asked_for_by_name() -> None:
    ledger = "".join(text(file) for file in python_files("server/talktime_server/ledger"))
    unused = [script.name for script in scripts() if f'"{script.stem}"' not in ledger]
    assert not unused


def test_the_shared_text_holds_nothing_that_no_script_uses() -> None:
    book = code_of(SCRIPTS / "book.lua") if (SCRIPTS / "book.lua").exists() else ""
    everything = book + "".join(code_of(script) for script in scripts())
    names = re.findall(r"^local (?:function )?(\w+)", book, re.MULTILINE)
    assert [name for name in names if len(re.findall(rf"\b{name}\b", everything)) < 2] == []
