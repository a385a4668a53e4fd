"""The checkout as the tidy tests see it: which files there are, and what is in them."""

import ast
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

HOUSE = Path(__file__).resolve().parent.parent
SCRIPTS = HOUSE / "server" / "talktime_server" / "ledger" / "lua"
PROGRAMS = ("talktime", ".ci/lock")
# What tools make, and what is not ours.
PASSED_BY = {"__pycache__", "build", "dist", "node_modules"}
OWN_DOTTED = {".ci", ".gitignore", ".gitattributes", ".luacheckrc"}
BINARY = {".pb", ".png", ".ico", ".woff2", ".xlsx", ".zip"}


@cache
def files() -> tuple[Path, ...]:
    """Every file of the house, relative to it."""
    found = []
    for folder, inner, names in os.walk(HOUSE):
        inner[:] = [name for name in inner if ours(name)]
        found += [Path(folder, name).relative_to(HOUSE) for name in names if ours(name)]
    return tuple(sorted(found))


def ours(name: str) -> bool:
    return name in OWN_DOTTED or not (name.startswith(".") or name in PASSED_BY)


def generated(file: Path) -> bool:
    return "_pb2" in file.name or file.suffix in BINARY


def text_files() -> list[Path]:
    return [file for file in files() if not generated(file)]


def python_files(*below: str) -> list[Path]:
    """The Python that people wrote, in these folders or everywhere."""
    return [
        file
        for file in text_files()
        if (file.suffix == ".py" or str(file) in PROGRAMS)
        and (not below or any(file.is_relative_to(folder) for folder in below))
    ]


@cache
def text(file: Path) -> str:
    return (HOUSE / file).read_text(encoding="utf-8")


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(text(file), filename=str(file))


def functions(file: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def module_of(file: Path) -> str:
    """`server/talktime_server/rpc/edge.py` is `talktime_server.rpc.edge`; a package is named without `__init__`."""
    parts = file.with_suffix("").parts[1:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(file: Path) -> Iterator[tuple[int, str]]:
    """What a file imports, with its line: `from a import b` gives both `a` and `a.b`, for b may be a module."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, each.name) for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = absolute(file, node)
            yield node.lineno, base
            yield from ((node.lineno, f"{base}.{each.name}") for each in node.names)


def absolute(file: Path, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    above = ".".join(file.with_suffix("").parts[1 : -node.level])
    return f"{above}.{node.module}" if node.module else above


def within(name: str, package: str) -> bool:
    """Whether a dotted name is that package, or inside it."""
    return name == package or name.startswith(f"{package}.")
