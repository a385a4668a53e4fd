"""What a check of `talktime doctor` comes to."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: its verdict, what was found, and what to do about it."""

    check: str
    verdict: Verdict
    found: str
    advice: str = ""
