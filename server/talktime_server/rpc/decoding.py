"""From bytes to a message, and from a message to values that may be trusted.

`decode` says why bytes are not a message. `Checks` gathers every field of a request that breaks a rule,
so that the caller hears of all of them at once. Nothing here puts an offending value into a text:
texts are sent and logged.
"""

import re
import unicodedata
from collections.abc import Container, Iterable, Sized
from typing import Protocol, TypeVar

from google.protobuf.message import DecodeError, Message

from talktime_server.decision.numbering import is_e164
from talktime_server.failure import Invalid, Violation
from talktime_server.rpc.shapes import Identity
from talktime_server.rpc.wire import first_fault

MAX_ID_CHARS = 64
MIN_REQUEST_ID_CHARS = 2
DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 500

# ASCII classes and fullmatch, everywhere: \d, isdigit and $ let in what looks alike.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@=+~-]{0,63}")
_ID_CHARS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@=+~-]*")
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@=+~-]{1,63}")
_CURRENCY = re.compile(r"[A-Z]{3}")
_COUNTRY = re.compile(r"[A-Z]{2}")

M = TypeVar("M", bound=Message)


def decode(kind: type[M], body: bytes) -> M:
    """Reads a message, or refuses it with MALFORMED_MESSAGE, INVALID_UTF8 or TOO_DEEP."""
    try:
        return kind.FromString(body)
    except DecodeError:
        fault = first_fault(body, kind)
    if fault.field:
        raise Invalid.fields([Violation(fault.field, fault.rule, fault.text)])
    raise Invalid(fault.rule, fault.text)


class Enum(Protocol):
    """A generated enum."""

    def values(self) -> Iterable[int]:
        """Its numbers."""


def known_numbers(enum: Enum) -> frozenset[int]:
    """The numbers of an enum that a request may carry: all but 0, which means "not given"."""
    return frozenset(enum.values()) - {0}


class Checks:
    """Gathers the violations of one request. A check of a good field is cheap."""

    __slots__ = ("violations",)

    def __init__(self) -> None:
        self.violations: list[Violation] = []

    def done(self) -> None:
        """Refuses the request when any check failed, naming every field."""
        if self.violations:
            raise Invalid.fields(self.violations)

    def blame(self, field: str, rule: str, text: str) -> None:
        """Notes a violation that only the caller of this class can see."""
        self.violations.append(Violation(field, rule, text))

    def call_id(self, field: str, value: str) -> None:
        """An id that makes an operation safe to repeat: call_id, funding_id."""
        if not _REQUEST_ID.fullmatch(value):
            self._blame_request_id(field, value)

    def id(self, field: str, value: str, *, required: bool = True) -> None:
        """Any other id, 1 to 64 characters."""
        if (value or required) and not _ID.fullmatch(value):
            self._blame_id(field, value)

    def tenant(self, field: str, value: str, identity: Identity) -> str:
        """The tenant that is meant; one that is not the token's ends the request at once."""
        if not value:
            try:
                return identity.tenant("")
            except Invalid as invalid:
                self.violations.extend(invalid.violations)
                return ""
        self.id(field, value)
        return identity.tenant(value)

    def number(self, field: str, value: str, *, required: bool = True) -> None:
        """A number in E.164. Emergency numbers, which are as dialled, are looked for before."""
        if (value or required) and not is_e164(value):
            self._blame_number(field, value)

    def text(self, field: str, value: str, most: int, *, required: bool = False) -> None:
        """Free text for people, at most so many characters, without control or invisible ones."""
        if (
            value.isascii()
            and value.isprintable()
            and len(value) <= most
            and (value or not required)
        ):
            return
        if not value:
            self._blame_missing(field)
        elif len(value) > most:
            self.blame(field, "TOO_LONG", f"has more than {most} characters")
        elif any(map(_unseen, value)):
            self.blame(field, "BAD_CHARSET", "has control or invisible characters")

    def within(self, field: str, value: int, low: int, high: int) -> None:
        """A whole number in a range, ends included."""
        if not low <= value <= high:
            self.blame(field, "OUT_OF_RANGE", f"is not from {low} to {high}")

    # The unit is in the field's name; these say at the call what is meant.
    seconds = within
    micros = within
    count = within

    def enum(self, field: str, value: int, known: Container[int], *, required: bool = True) -> None:
        """A value of an enum; `known` is from `known_numbers`."""
        if value in known or (value == 0 and not required):
            return
        if value == 0:
            self._blame_missing(field)
        else:
            self.blame(field, "UNKNOWN_ENUM", "is not a value of this enum")

    def present(self, field: str, there: bool) -> None:
        """A message that must be given: `checks.present("tenant", request.HasField("tenant"))`."""
        if not there:
            self._blame_missing(field)

    def items(self, field: str, values: Sized, most: int, *, least: int = 0) -> None:
        """A list of a bounded length."""
        if len(values) > most:
            self.blame(field, "TOO_MANY_ITEMS", f"has more than {most} items")
        elif len(values) < least:
            self._blame_missing(field)

    def currency(self, field: str, value: str) -> None:
        """ISO 4217."""
        self._code(field, value, _CURRENCY, "is not three capital letters")

    def country(self, field: str, value: str) -> None:
        """ISO 3166-1 alpha-2."""
        self._code(field, value, _COUNTRY, "is not two capital letters")

    def page_size(self, field: str, value: int) -> int:
        """How many to give: 0 asks for the default, too many for the most there is."""
        if value < 0:
            self.blame(field, "OUT_OF_RANGE", f"is not from 0 to {MAX_PAGE_SIZE}")
        return min(value, MAX_PAGE_SIZE) if value > 0 else DEFAULT_PAGE_SIZE

    def _code(self, field: str, value: str, form: re.Pattern[str], text: str) -> None:
        if not value:
            self._blame_missing(field)
        elif not form.fullmatch(value):
            self.blame(field, "BAD_CHARSET", text)

    def _blame_missing(self, field: str) -> None:
        self.blame(field, "MISSING_FIELD", "is required")

    def _blame_request_id(self, field: str, value: str) -> None:
        length_good = MIN_REQUEST_ID_CHARS <= len(value) <= MAX_ID_CHARS
        if length_good and " " not in value:
            self.blame(field, "BAD_CHARSET", _CHARSET_TEXT)
        else:
            text = f"is not {MIN_REQUEST_ID_CHARS} to {MAX_ID_CHARS} characters without spaces"
            self.blame(field, "BAD_REQUEST_ID", text)

    def _blame_id(self, field: str, value: str) -> None:
        if not value:
            self._blame_missing(field)
        elif _ID_CHARS.fullmatch(value):
            self.blame(field, "TOO_LONG", f"has more than {MAX_ID_CHARS} characters")
        else:
            self.blame(field, "BAD_CHARSET", _CHARSET_TEXT)

    def _blame_number(self, field: str, value: str) -> None:
        # Invisible characters are worth their own word: the sender cannot see what is wrong.
        if any(unicodedata.category(char) == "Cf" for char in value[:MAX_ID_CHARS]):
            self.blame(field, "BAD_CHARSET", "has invisible characters")
        else:
            self.blame(field, "NOT_E164", 'is not "+" and 7 to 15 digits')


_CHARSET_TEXT = (
    'has other characters than letters, digits and ". _ @ = + ~ -", or begins with one of these'
)
_UNSEEN = frozenset({"Cc", "Cs", "Zl", "Zp"})
_TURNING = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})


def _unseen(char: str) -> bool:
    """Control characters, and those that turn the direction of text. Names need their joiners."""
    turning = unicodedata.bidirectional(char) in _TURNING
    return turning or char == "\ufeff" or unicodedata.category(char) in _UNSEEN
