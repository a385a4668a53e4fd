"""Arrows point one way: cli → supervisor → app → rpc → decision, work → ledger. The rest of the house uses the client."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from house import files, imports, module_of, python_files, text, within

SERVER = "talktime_server"
# Later may import earlier, never the reverse; rooms on one level leave each other alone. A file at the top of the server
# that is not named here belongs to the supervisor: it starts, wires or watches. Settings end above the decision, which is
# given plain values.
LEVELS = (
    ("words", "failure"),
    ("ledger",),
    ("archive", "payments"),
    ("decision", "notices"),
    ("work",),
    ("config", "config_kinds"),
    ("rpc",),
    ("app", "back_office"),
    ("supervisor",),
    ("cli",),
)
LEVEL_OF = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
# Envoy starts this one by name, as the grpcio engine starts worker.py: it is the entry of its process too.
ENTRIES = (f"{SERVER}.rpc.asgi",)
COMMAND_LINE = ("__main__", "cli", "commands", "demo")
PURE = tuple(f"{SERVER}.decision.{name}" for name in ("numbering", "rating", "entitlement"))
OUTSIDE_WORLD = (
    "asyncio",
    "datetime",
    "io",
    "os",
    "pathlib",
    "random",
    "secrets",
    "socket",
    "subprocess",
    "time",
)
# Started by name, by path or by hand, and therefore imported by nobody.
PROGRAMS = ("__main__", "__init__")


@dataclass(frozen=True, slots=True)
class Knowledge:
    """Packages that only some rooms know."""

    packages: tuple[str, ...]
    known_to: tuple[str, ...]
    why: str


KNOWLEDGE = (
    Knowledge(
        ("grpc", "google", "grpc_health", "grpc_reflection", "grpc_status"),
        (f"{SERVER}.rpc", "talktime", "talktime_loadtest"),
        "only rpc/ and the client know protobuf and gRPC",
    ),
    Knowledge(
        ("talktime.v1",),
        (f"{SERVER}.rpc", "talktime", "talktime_loadtest"),
        "only rpc/ and the client know the contract's messages",
    ),
    Knowledge(
        ("redis", "hiredis", "valkey"), (f"{SERVER}.ledger",), "only ledger/ knows the store"
    ),
    Knowledge(
        ("sqlalchemy", "alembic"),
        (f"{SERVER}.archive", f"{SERVER}.notices"),
        "only the archive and the notices know SQL",
    ),
    Knowledge(("stripe",), (f"{SERVER}.payments",), "only payments/ knows the providers"),
    Knowledge(("pyvoy",), (f"{SERVER}.rpc",), "only rpc/ knows the engines"),
    Knowledge(
        ("typer", "rich"),
        (*(f"{SERVER}.{room}" for room in COMMAND_LINE), "talktime_loadtest"),
        "only the command line speaks to people",
    ),
)


def shipped() -> list[Path]:
    return python_files("client", "server", "loadtest")


def room_of(module: str) -> str:
    """The room of a server's module: its folder; the command line is cli.py and what only it uses."""
    first = module.removeprefix(f"{SERVER}.").split(".")[0]
    if first in LEVEL_OF:
        return first
    return "cli" if first in COMMAND_LINE else "supervisor"


def knows(module: str, knowledge: Knowledge) -> bool:
    return any(within(module, room) for room in knowledge.known_to)


def may_import(room: str, other: str) -> bool:
    return (
        room == other
        or LEVEL_OF[room] > LEVEL_OF[other]
        or {room, other} <= {"config", "config_kinds"}
    )


def test_arrows_point_down() -> None:
    wrong = [
        f"{file}:{line}: {room} may not import {target}"
        for file in python_files("server")
        for line, target in imports(file)
        if within(target, SERVER) and target != SERVER
        for room in [room_of(module_of(file))]
        if not (module_of(file) in ENTRIES and within(target, f"{SERVER}.serving"))
        if not may_import(room, room_of(target))
    ]
    assert not wrong, "\n".join(wrong)


def test_nobody_imports_app_or_the_command_line() -> None:
    wrong = [
        f"{file}:{line}: {target}"
        for file in shipped()
        if room_of(module_of(file)) != "cli"
        for line, target in imports(file)
        if within(target, f"{SERVER}.app") or room_of(target) == "cli"
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("knowledge", KNOWLEDGE, ids=lambda each: each.packages[0])
def test_only_some_rooms_know(knowledge: Knowledge) -> None:
    wrong = [
        f"{file}:{line}: {target}: {knowledge.why}"
        for file in shipped()
        if not knows(module_of(file), knowledge)
        for line, target in imports(file)
        if any(within(target, package) for package in knowledge.packages)
    ]
    assert not wrong, "\n".join(wrong)


def test_the_client_and_the_load_test_stand_without_the_server() -> None:
    """The load test's bare echo is served by our engines: of the server it knows their room, and nothing behind it."""
    known = {"client": (), "loadtest": (f"{SERVER}.rpc", f"{SERVER}.failure")}
    wrong = [
        f"{file}:{line}: {target}"
        for file in python_files(*known)
        for line, target in imports(file)
        if within(target, SERVER) and not any(within(target, room) for room in known[file.parts[0]])
    ]
    assert not wrong, "\n".join(wrong)


def test_the_pure_rooms_see_neither_clock_nor_world() -> None:
    wrong = [
        f"{file}:{line}: {target}"
        for file in python_files("server")
        if module_of(file) in PURE
        for line, target in imports(file)
        if any(within(target, package) for package in OUTSIDE_WORLD)
    ]
    assert not wrong, "\n".join(wrong)


def test_every_file_is_used() -> None:
    """Imported by another, or named by another as a program: by its dotted name or by its file name."""
    used = {target for file in shipped() for _, target in imports(file)}
    sources = [
        file
        for file in files()
        if file.suffix in (".py", ".toml", ".md") and file.parts[0] != "tests"
    ]
    orphans = [
        str(file)
        for file in shipped()
        if file.stem not in PROGRAMS and module_of(file) not in used
        if not any(
            module_of(file) in text(other) or file.name in text(other)
            for other in sources
            if other != file
        )
    ]
    assert not orphans, f"nobody uses them: {orphans}"
