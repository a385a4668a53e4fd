"""How an operation fails. A refusal is an answer and never passes through here.

Failure
├── Invalid              the request breaks a rule; names every field and its rule
├── Unauthenticated      nobody we know asks
├── Forbidden            the asker may not do this
├── NotFound             there is no such tenant, payer, call or deck
├── Mismatch             a known id came again with another body; names the field
├── Conflict             the thing is not in a state that allows this
├── TooMuch              a limit of size or number is passed; try later or ask for less
├── TooLate              the deadline passed before money was touched
├── StoreAway            the store cannot be asked, or did not answer: outcome NOT_APPLIED or UNKNOWN
├── ArchiveAway          the archive cannot be asked; what calls and money need goes on without it
├── NotServed            this is not built yet
└── Broken               a bug; the text stays in the log

Unsafe stands apart: it ends the start of a process, never an operation.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Code(IntEnum):
    """The gRPC status codes in use."""

    OK = 0
    CANCELLED = 1
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


class Applied(StrEnum):
    """What an error says of its operation (promise 2)."""

    NOT_APPLIED = "NOT_APPLIED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Violation:
    """One field and the rule it broke; `rule` is UPPER_SNAKE, `text` a sentence."""

    field: str
    rule: str
    text: str


class Failure(Exception):
    """An operation that failed: a status, a reason for programs, a sentence for people, and facts."""

    code = Code.INTERNAL

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        applied: Applied = Applied.NOT_APPLIED,
        facts: Mapping[str, str] | None = None,
        violations: tuple[Violation, ...] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.applied = applied
        self.facts = dict(facts or {})
        self.violations = violations
        self.retry_after_s = retry_after_s


class Invalid(Failure):
    """The request breaks a rule; its reason is the first violation's rule."""

    code = Code.INVALID_ARGUMENT

    @classmethod
    def fields(cls, violations: list[Violation]) -> "Invalid":
        """All the fields to blame; at least one."""
        first = violations[0]
        listed = "; ".join(f"{v.field}: {v.text}" for v in violations[:20])
        return cls(
            first.rule, listed, facts={"field": first.field}, violations=tuple(violations[:100])
        )


class Unauthenticated(Failure):
    """Nobody we know asks."""

    code = Code.UNAUTHENTICATED


class Forbidden(Failure):
    """The asker may not do this."""

    code = Code.PERMISSION_DENIED


class NotFound(Failure):
    """There is no such thing, or it is another tenant's: the two look the same."""

    code = Code.NOT_FOUND


class Mismatch(Failure):
    """A known id came again with another body."""

    code = Code.ALREADY_EXISTS

    @classmethod
    def of(cls, identity: str, field: str) -> "Mismatch":
        """`identity` names the id, as "call_id"; `field` is the first field that differs."""
        return cls(
            "IDEMPOTENCY_MISMATCH",
            f"this {identity} was used before with another {field}",
            facts={"field": field},
        )


class Conflict(Failure):
    """The thing is not in a state that allows this."""

    code = Code.FAILED_PRECONDITION


class TooMuch(Failure):
    """A limit of size or number is passed."""

    code = Code.RESOURCE_EXHAUSTED


class TooLate(Failure):
    """The deadline passed."""

    code = Code.DEADLINE_EXCEEDED


class StoreAway(Failure):
    """The store cannot be asked, or did not answer."""

    code = Code.UNAVAILABLE


class ArchiveAway(Failure):
    """The archive cannot be asked, or did not answer."""

    code = Code.UNAVAILABLE

    @classmethod
    def now(cls) -> "ArchiveAway":
        return cls("ARCHIVE_AWAY", "the archive cannot be asked now; try again")


class NotServed(Failure):
    """This is not built yet."""

    code = Code.UNIMPLEMENTED


class Broken(Failure):
    """A bug."""

    code = Code.INTERNAL


class Unsafe(Exception):
    """The store's settings would lose money; the text names each of them."""
