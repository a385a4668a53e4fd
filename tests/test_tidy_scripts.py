"""The store's scripts keep one shape: why, inputs and outputs on top; then the ladder; then the writes."""

import re
from functools import cache
from pathlib import Path

import pytest

from house import SCRIPTS, python_files, text
from talktime_server.ledger import store

# Texts that the registry puts in front of each script: no decisions.
SHARED = ("book", "row", "call", "accounts", "lots", "pools", "sources", "leave")
LONGEST = 80
LONGEST_OF = {
    "authorize": 160,
    "extend": 108,
    "settle": 120,
    "take_funds": 90,
    "book": 170,
    "accounts": 90,
    "calls": 88,
    "lots": 165,
    "pools": 120,
    "sources": 250,
    "leave": 200,
}
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
# How a shared function notes what `leave` shall write; what is only read is kept in the book as well.
NOTES = re.compile(
    r"\bbook\.(?:lines|calls)\[[^\]]*\] =|\.(?:changed|swept|delta)\b[^=\n]*=(?!=)", re.MULTILINE
)
IDS = {"conference"}  # text wherever it comes from
HEADER = (r"\A-- [A-Z].*\.$", r"^-- A script, because .*", r"^-- KEYS", r"^-- ARGV", r"^-- Returns")
NAMED_INPUT = re.compile(r"^local [\w, ]+ = (?:(?:KEYS|ARGV)\[\d+\](?:, )?)+$")
CALL = re.compile(r'redis\.p?call\("([A-Z]+)"')
OPERAND = r'("[^"]*"|[\w.]+\([^()]*(?:\([^()]*\))?[^()]*\)|[\w.\[\]]+)'
JOIN = re.compile(rf"{OPERAND} \.\. (?={OPERAND})")


def scripts() -> list[Path]:
    """Every decision."""
    return [script for script in sorted(SCRIPTS.glob("*.lua")) if script.stem not in SHARED]


def shared() -> list[Path]:
    """The texts in front of each, in their order."""
    return [SCRIPTS / f"{name}.lua" for name in SHARED]


def code_of(script: Path) -> str:
    return "\n".join(line.split("--")[0].rstrip() for line in script.read_text().splitlines())


def writes_directly(code: str) -> bool:
    return any(any(word in command for word in WRITES) for command in CALL.findall(code))


@cache
def shared_writers() -> frozenset[str]:
    """The shared functions by which a decision has something written, themselves or through one another.

    `each`, with which every decision ends, is none: it writes what was noted, and nothing when nothing was.
    """
    code = "\n".join(code_of(text) for text in shared())
    bodies = dict(re.findall(r"^local function (\w+)(.*?)^end$", code, re.MULTILINE | re.DOTALL))
    leaving = set(re.findall(r"^local function (\w+)", code_of(shared()[-1]), re.MULTILINE))
    writers = {n for n, body in bodies.items() if NOTES.search(body) or writes_directly(body)}
    for _ in bodies:
        writers |= {name for name, body in bodies.items() if calls_one_of(body, writers)}
    return frozenset(writers - leaving)


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
    """KEYS and ARGV are named in the first lines, or by the parameters of the decision; then the words do not appear.

    One script takes operations of all kinds and hands each its own; their scripts name those.
    """
    if script.stem == "calls":
        return
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


def test_the_texts_in_front_are_those_of_the_registry() -> None:
    assert store.SHARED == SHARED


def test_what_notes_a_write_is_found_by_this_test() -> None:
    """Or the rule above would hold for nothing."""
    expected = {"enter", "write_call", "keep_open", "close", "sweep", "move_pools", "spend", "hold"}
    assert expected <= shared_writers()
    assert not shared_writers() & {"read_tenant", "meter", "cover", "draw", "view", "each"}


@pytest.mark.parametrize("script", [*scripts(), *shared()], ids=lambda script: script.stem)
def test_numbers_become_text_exactly(script: Path) -> None:
    """`tostring` and `..` lose digits from 10^14 on: what is joined is text already, or made by `text`."""
    code = code_of(script)
    given = set(re.findall(r"\w+", " ".join(re.findall(r"function \w+\(([^)]*)\)", code))))
    changed = set(re.findall(r"\w+", " ".join(re.findall(r"^\s*([\w, ]+) = ", code, re.MULTILINE))))
    joined = {side for pair in JOIN.findall(code) for side in pair}
    doubtful = {
        side
        for side in joined
        if not side.startswith(('"', "text(", "texts(")) and side not in (given - changed) | IDS
    }
    assert not doubtful
    assert "tostring(" not in code.replace("tostring(answer)", ""), "but of what was raised"


def test_scripts_are_short() -> None:
    lengths = {script.stem: lines_of(script) for script in [*scripts(), *shared()]}
    assert not {name: n for name, n in lengths.items() if n > LONGEST_OF.get(name, LONGEST)}


def lines_of(script: Path) -> int:
    return len(script.read_text().splitlines())


def test_every_script_is_asked_for_by_name() -> None:
    ledger = "".join(text(file) for file in python_files("server/talktime_server/ledger"))
    unused = [script.name for script in scripts() if f'"{script.stem}"' not in ledger]
    assert not unused


def test_the_shared_texts_hold_nothing_that_no_script_uses() -> None:
    common = "".join(code_of(text) for text in shared())
    everything = common + "".join(code_of(script) for script in scripts())
    names = re.findall(r"^local (?:function )?(\w+)", common, re.MULTILINE)
    assert [name for name in names if len(re.findall(rf"\b{name}\b", everything)) < 2] == []
