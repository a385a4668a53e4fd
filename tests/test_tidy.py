"""The house rules that a machine can check: sizes, names, words and calls that are banned, each with what to use instead."""

import ast
import re
import statistics
from dataclasses import dataclass
from pathlib import Path

import pytest

from house import HOUSE, PROGRAMS, functions, length, python_files, text, text_files, tree

LONGEST_FILE = 400
LONGEST_FUNCTION = 70
LONG_FUNCTION = 30
MOST_LONG_SHARE = 0.1
MOST_MEDIAN = 10
LONGEST_README = 150
EMPTY_WORDS = {"util", "utils", "helper", "helpers", "manager", "handler", "data", "info", "misc"}
# The names that asyncio calls, and a word of Envoy's.
GIVEN_NAMES = {"data_received", "pipe_data_received", "_connection_manager"}
SERVER = ("server",)
SHIPPED = ("client", "server", "loadtest")
SPEAKERS = ("cli", "demo", "lint", "generate", "report")


@dataclass(frozen=True, slots=True)
class Ban:
    """A call or word that may not stand below some folders, and what stands there instead."""

    pattern: str
    instead: str
    below: tuple[str, ...] = ()
    spare: tuple[str, ...] = ()


BANS = (
    Ban(
        r"\btime\.sleep\(",
        "await asyncio.sleep, or an event with a timeout",
        ("server", "client"),
        ("state_folder",),  # it waits for its lock before there is a loop
    ),
    Ban(
        r"\btime\.sleep\(|asyncio\.sleep\([1-9]",
        "poll with a deadline, or pass the time in",
        ("tests",),
    ),
    Ban(
        r"\btime\.time\(|\bdatetime\.(now|today|utcnow)\(",
        "the store's time",
        tuple(f"server/talktime_server/{room}" for room in ("decision", "ledger")),
    ),
    Ban(r"\bfloat\([^)]*micros|\w+_micros: float|\bround\([^)]*micros", "whole micros", SHIPPED),
    Ban(r"\b\w+_micros / |/ \w+_micros\b", "// on whole micros, or a Decimal of them", SHIPPED),
    Ban(r"^\s*print\(", "an answer, a log event, or the command line's console", SHIPPED),
    Ban(r"\bflush(all|db)\b", "a store of the test's own"),
    Ban(r"\bunittest\.mock\b|\bMagicMock\b|\bfakeredis\b", "the real server and the real store"),
    Ban(
        r"\bpickle\b|\bshell=True|\bos\.system\(|(?<![.\w])(eval|exec)\(",
        "something that runs nobody's text",
        SHIPPED,
    ),
    Ban(
        r"mark\.(skip|skipif|xfail)\b|pytest\.xfail\(|pytest\.skip\((?!.*beside this checkout)|pragma: no",
        "a test that runs",
    ),
    Ban(r"# type: ignore(?!\[[\w, -]+\]  ?\S)", "# type: ignore[rule]  # and the reason"),
    Ban(r"# noqa(?!: [A-Z]+\d+(, [A-Z]+\d+)*  \S)", "# noqa: RULE  and the reason"),
)
# What belongs to one machine, or to how a package got there. Spelled so that this file does not name them.
FOREIGN = (
    (r"/(root|work|home/\w+)/[\w.]", "a path of somebody's machine"),
    (r"(?<![\w.])/tmp/\w", "a path of somebody's machine: tests have tmp_path"),
    (
        r"((?<!emit-)index-url|find-links|pypi\.[o]rg|pythonhosted\.[o]rg|registry\.npmjs)",
        "a package host",
    ),
    (r"\b(FIX[M]E|TO[D]O|XX[X])\b", "something left open: do it, or file an issue"),
)
KNOWN_HOSTS = r"(localhost|127\.0\.0\.1|\[::1\]|([\w-]+\.)*example(\.com|\.org)?|[{%<]|www\.apache\.org|keepachangelog\.com|semver\.org)"


def everywhere(pattern: str, paths: list[Path], spare: tuple[str, ...] = ()) -> list[str]:
    wanted = re.compile(pattern, re.MULTILINE)
    return [
        f"{path}:{text(path).count(chr(10), 0, found.start()) + 1}: {found.group(0).strip()}"
        for path in paths
        if path.name != "test_tidy.py" and not any(word in path.stem for word in spare)
        for found in wanted.finditer(text(path))
    ]


def test_files_are_short() -> None:
    long = {str(f): n for f in python_files() if (n := len(text(f).splitlines())) > LONGEST_FILE}
    assert not long, f"over {LONGEST_FILE} lines: {long}"


def test_no_function_is_longer_than_a_screen() -> None:
    long = [
        f"{file}:{node.lineno} {node.name}: {length(node)}"
        for file in python_files()
        for node in functions(file)
        if length(node) > LONGEST_FUNCTION
    ]
    assert not long


@pytest.mark.parametrize("room", [*SHIPPED, "tests"])
def test_most_functions_are_small(room: str) -> None:
    """Nine in ten below thirty lines, half of them below ten."""
    lengths = [length(node) for file in python_files(room) for node in functions(file)] or [1]
    long = [each for each in lengths if each >= LONG_FUNCTION]
    assert len(long) <= MOST_LONG_SHARE * len(lengths)
    assert statistics.median(lengths) < MOST_MEDIAN


def test_names_say_something() -> None:
    defined = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    names = [
        (f, node.name)
        for f in python_files()
        for node in ast.walk(tree(f))
        if isinstance(node, defined)
    ]
    names += [(file, file.stem) for file in python_files()]
    empty = [
        f"{file}: {name}"
        for file, name in names
        if not name.startswith("test_") and name not in GIVEN_NAMES and words_of(name) & EMPTY_WORDS
    ]
    assert not empty


def words_of(name: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


@pytest.mark.parametrize("ban", BANS, ids=lambda ban: ban.instead.split(",")[0])
def test_banned_calls(ban: Ban) -> None:
    spare = (*ban.spare, *(SPEAKERS if "print" in ban.pattern else ()))
    found = everywhere(ban.pattern, python_files(*ban.below), spare)
    assert not found, f"use {ban.instead}:\n" + "\n".join(found)


@pytest.mark.parametrize(("pattern", "what"), FOREIGN, ids=lambda each: each[:24])
def test_the_house_speaks_of_itself_alone(pattern: str, what: str) -> None:
    found = everywhere(pattern, text_files())
    assert not found, f"{what}:\n" + "\n".join(found)


def test_only_known_hosts_are_named() -> None:
    found = everywhere(rf"https?://(?!{KNOWN_HOSTS})[\w.-]+", text_files())
    assert not found


def test_the_edge_never_asserts_what_a_caller_sent() -> None:
    """`assert` is for our own bugs; what came over the wire or from a person is refused with a reason."""
    rooms = (
        "server/talktime_server/rpc/decoding.py",
        "server/talktime_server/rpc/wire.py",
        "server/talktime_server/cli.py",
    )
    found = everywhere(r"^\s*assert ", [file for file in python_files() if str(file) in rooms])
    assert not found


def test_no_failure_is_swallowed() -> None:
    """Neither a bare except, nor an `except Exception` that only passes."""
    found = [
        f"{file}:{node.lineno}"
        for file in python_files()
        for node in ast.walk(tree(file))
        if isinstance(node, ast.ExceptHandler) and swallows(node)
    ]
    assert not found


def swallows(node: ast.ExceptHandler) -> bool:
    broad = isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")
    return node.type is None or (broad and all(isinstance(each, ast.Pass) for each in node.body))


def test_every_module_says_what_it_is_for() -> None:
    silent = [str(f) for f in python_files() if text(f).strip() and not ast.get_docstring(tree(f))]
    assert not silent


def test_records_have_slots() -> None:
    """Data is `@dataclass(frozen=True, slots=True)`; what changes in one place leaves out `frozen` alone."""
    found = [
        f"{file}:{node.lineno} {node.name}"
        for file in python_files(*SHIPPED)
        for node in ast.walk(tree(file))
        if isinstance(node, ast.ClassDef) and any(loose(each) for each in node.decorator_list)
    ]
    assert not found


def loose(decorator: ast.expr) -> bool:
    name = decorator.func if isinstance(decorator, ast.Call) else decorator
    if not (isinstance(name, ast.Name) and name.id == "dataclass"):
        return False
    given = {each.arg for each in decorator.keywords} if isinstance(decorator, ast.Call) else set()
    return "slots" not in given


def test_the_readme_can_be_read_in_one_sitting() -> None:
    assert len((HOUSE / "README.md").read_text().splitlines()) < LONGEST_README


def test_programs_can_be_run() -> None:
    programs = [HOUSE / name for name in (*PROGRAMS, ".ci/run")]
    assert [str(program) for program in programs if not program.stat().st_mode & 0o100] == []
