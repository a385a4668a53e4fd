"""How a command ends: its exit code, and the sentence for whoever typed it.

Heavy imports wait until they are needed, here and in all of these rooms, so that `talktime --help` is there at once.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from talktime_server.commands.options import option_of, rule_told

if TYPE_CHECKING:
    from talktime import TalktimeError, Violation


class Exit(IntEnum):
    """What an exit code means; the same for every command."""

    FINE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    NOT_FOUND = 4
    UNREACHABLE = 5
    NOT_ALLOWED = 6
    CONFLICT = 7
    INTERRUPTED = 130


MEANINGS = {
    Exit.FINE: "fine",
    Exit.FAILED: "a check failed, or something broke",
    Exit.USAGE: "the command line, a setting or a field is wrong",
    Exit.REFUSED: "the call was refused",
    Exit.NOT_FOUND: "there is no such tenant, payer, call, deck, funding or the like",
    Exit.UNREACHABLE: "the service or its store cannot be asked now",
    Exit.NOT_ALLOWED: "there is no token, or it may not do this",
    Exit.CONFLICT: "the id was used for something else, or the state forbids it",
    Exit.INTERRUPTED: "interrupted",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One field and the rule it broke; of a file, on which line."""

    field: str
    rule: str
    text: str
    line: int = 0

    def as_document(self) -> dict[str, object]:
        """What a program reads of it."""
        line = {"line": self.line} if self.line else {}
        return {**line, "field": self.field, "rule": self.rule, "text": self.text}


class Stop(Exception):
    """Ends the command with an exit code and a text that says what is wrong and what to do."""

    def __init__(
        self,
        code: Exit,
        text: str,
        *,
        reason: str = "",
        outcome: str = "NOT_APPLIED",
        faults: tuple[Fault, ...] = (),
    ) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.reason = reason or code.name
        self.outcome = outcome
        self.faults = faults

    def as_document(self) -> dict[str, object]:
        """What a program reads on standard error."""
        faults = [fault.as_document() for fault in self.faults]
        error = {"exit_code": int(self.code), "reason": self.reason, "outcome": self.outcome}
        return {"error": {**error, "text": self.text, "faults": faults}}


def stop_for(error: "TalktimeError", target: str) -> Stop:
    """How a command ends when the service failed to do what was asked."""
    code, text = _ending(error, target)
    return Stop(
        code,
        text,
        reason=error.reason,
        outcome=str(error.outcome),
        faults=tuple(map(_fault, error.violations)),
    )


def naming(stop: Stop, asked: Mapping[str, object]) -> Stop:
    """The stop of a command that asked for something there is not, with the id it asked for: the service, which is told
    many of them, names none.
    """
    argument, text = _UNKNOWN.get(stop.reason, ("", ""))
    wanted = asked.get(argument)
    if not wanted:
        return stop
    told = text.format(wanted)
    return Stop(stop.code, told, reason=stop.reason, outcome=stop.outcome, faults=stop.faults)


def sentence(text: object, *, capital: bool = True) -> str:
    """A text as a sentence of its own."""
    said = str(text).strip() or "no reason was given"
    start = said[0].upper() if capital else said[0]
    return start + said[1:] + ("" if said.endswith((".", "!", "?")) else ".")


def typed(words: str) -> str:
    """A command as it is typed here: in a checkout by its launcher, which runs us as a module, else by its name."""
    launcher = "./talktime" if sys.argv[0].endswith("__main__.py") else "talktime"
    return f"{launcher} {words}"


def _ending(error: "TalktimeError", target: str) -> tuple[Exit, str]:
    code = _CODES.get(type(error).__name__, Exit.FAILED)
    if error.reason == "NOT_CONNECTED":
        return code, _NOT_RUNNING.format(target=target)
    if error.violations:
        return code, _wrong_fields(error.violations)
    if advice := _ADVICE.get(error.reason) or _ADVICE.get(type(error).__name__):
        return code, f"{sentence(error.message)} {advice}"
    return code, sentence(error.message)


def _wrong_fields(violations: "tuple[Violation, ...]") -> str:
    if len(violations) > 1:
        return f"{len(violations)} fields are refused:"
    (only,) = violations
    hint = _HINTS.get((only.field, only.rule)) or _HINTS.get(("", only.rule), "")
    return (
        f"{option_of(only.field)} {sentence(rule_told(only.field, only.text), capital=False)}{hint}"
    )


def _fault(violation: "Violation") -> Fault:
    return Fault(violation.field, violation.rule, violation.text)


_CODES = {
    "InvalidRequest": Exit.USAGE,
    "NotAuthenticated": Exit.NOT_ALLOWED,
    "NotPermitted": Exit.NOT_ALLOWED,
    "NotFound": Exit.NOT_FOUND,
    "IdempotencyMismatch": Exit.CONFLICT,
    "Conflict": Exit.CONFLICT,
    "TooMuch": Exit.UNREACHABLE,
    "DeadlineExceeded": Exit.UNREACHABLE,
    "Unavailable": Exit.UNREACHABLE,
    "Cancelled": Exit.INTERRUPTED,
}

# By field and rule; an empty field is any.
_HINTS = {
    ("tenant_id", "MISSING_FIELD"): " Name it with --tenant or TALKTIME_TENANT.",
    ("", "UNKNOWN_LICENSE"): " `talktime licence list` shows those there are.",
    (
        "",
        "UNKNOWN_GATEWAY",
    ): " The operator sets providers up: TALKTIME_STRIPE_KEY_FILE or TALKTIME_BILLING_URL.",
    ("", "UNKNOWN_POLICY"): " `talktime policy list` shows those there are.",
    ("to_number", "NOT_E164"): " As it is dialled in a country, it needs --region, as --region GB.",
    ("", "EMERGENCY_IN_BATCH"): " Here that is `talktime call authorize`.",
}

# The command's argument that was asked for, and how it is told that there is none.
_UNKNOWN = {
    "UNKNOWN_TENANT": (
        "tenant_id",
        "There is no tenant {}. `talktime tenant list` shows those there are.",
    ),
    "UNKNOWN_PAYER": (
        "payer_id",
        "There is no payer {}. `talktime payer list` shows those there are.",
    ),
    "UNKNOWN_CALL": (
        "call_id",
        "There is no call {}: it never was, or is no longer kept. With --payer and --to it can be settled.",
    ),
    "UNKNOWN_FUNDING": (
        "funding_id",
        "There is no funding {}. `talktime funds show` names those that are left.",
    ),
    "UNKNOWN_WEBHOOK": (
        "webhook_id",
        "There is no webhook {}. `talktime notices show` names those there are.",
    ),
    "UNKNOWN_NOTICE": (
        "notice_id",
        "There is no notice {}. `talktime notices list` shows those there are.",
    ),
    "UNKNOWN_DECK": ("deck", "There is no deck {}. `talktime rates show` lists those stored."),
}

_NOT_RUNNING = (
    "No service answers at {target}. Start one with `talktime serve`,"
    " or name another with --target or TALKTIME_TARGET."
)

_ADVICE = {
    "NotAuthenticated": "Name one with --token-file or TALKTIME_TOKEN;"
    " `talktime token create`, on the service's machine, makes one.",
    "NotPermitted": "`talktime token list`, on the service's machine, shows what each token may do.",
    "STORE_AWAY": "Look at the store; `talktime doctor` does. Nothing was done; ask again.",
    "STORE_SILENT": "Whether it was done is not known: ask again with the same id, and it is done once.",
    "DeadlineExceeded": "Ask again with the same id: whatever was done is done once.",
    "IDEMPOTENCY_MISMATCH": "Choose another id, or ask exactly as before.",
    "ARCHIVE_AWAY": "`talktime doctor` looks at the archive. Calls and money go on without it.",
    "NO_RECHARGE_RULE": "`talktime recharge set` makes one.",
    "RECHARGE_OFF": "`talktime recharge set --on` turns it on.",
    "CREDITS_NOT_SOLD": "Such a tenant pays by invoice: `talktime tenant put TENANT --billing POSTPAID`.",
    "REFUND_LIMIT": "`talktime entries --reference FUNDING` shows what was taken back of it.",
    "VERSION_CHANGED": "Somebody else changed it meanwhile: look at it, and ask again.",
    "DECK_INCOMPLETE": "Import it again: rows that are there already are not doubled.",
}
