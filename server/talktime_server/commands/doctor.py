"""`talktime doctor`: what is wrong with this machine, its settings, its store or its archive, and what to do about it."""

import asyncio
import os
from typing import TYPE_CHECKING

import typer

from talktime_server.commands.exits import Exit, Stop, sentence
from talktime_server.commands.output import Output, line, table
from talktime_server.commands.session import Json, ending

if TYPE_CHECKING:
    from talktime_server.commands.finding import Finding

_SUMMARY = {
    "ok": "All is well.",
    "warn": "It works; what is marked deserves a look.",
    "bad": "Something is wrong; what is marked says what to do.",
}
_MARKS = {"ok": "✓ ok", "warn": "! warn", "bad": "✗ bad"}


def doctor(as_json: Json = False) -> None:
    """Checks machine and settings: Python, engine, folders, tokens, port, store, archive, payments, mail. Exits 1 if any is bad.

    Example: talktime doctor

    Example: TALKTIME_STORE_URL=redis://db.example.com:6379 talktime doctor --json
    """
    output = Output(as_json=as_json)
    with ending(output):
        findings = _examine()
        worst = _worst(findings)
        rows = [(_MARKS[f.verdict], f.check, _said(f)) for f in findings]
        output.show(
            {"verdict": worst, "findings": findings},
            table("", ("", "Check", "Found"), rows),
            line(_SUMMARY[worst], "bold red" if worst == "bad" else "bold"),
        )
        if worst == "bad":
            raise typer.Exit(int(Exit.FAILED))


def add_to(root: typer.Typer) -> None:
    """Hangs the command below `talktime` itself."""
    root.command("doctor")(doctor)


def _examine() -> "list[Finding]":
    from talktime_server import logs
    from talktime_server.commands import checkup
    from talktime_server.config import BadSetting, LogLevel, Settings

    # What is away is a finding here, and no line of a log among them.
    logs.configure(LogLevel.ERROR)
    try:
        settings = Settings.read(os.environ)
    except BadSetting as bad:
        text = f"{sentence(bad)} Set it right, or unset it."
        raise Stop(Exit.FAILED, text, reason="BAD_SETTING") from None
    return asyncio.run(checkup.examine(settings))


def _worst(findings: "list[Finding]") -> str:
    found = {str(finding.verdict) for finding in findings}
    return next(each for each in ("bad", "warn", "ok") if each in found)


def _said(finding: "Finding") -> str:
    return f"{finding.found}. To do: {finding.advice}." if finding.advice else finding.found
