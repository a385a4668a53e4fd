"""A notice as it was stored, read for its texts, and what came from outside on one line. What writes the texts is loaded when
there is one to write: see rendering.py.
"""

import json
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from talktime_server.notices.notice import Parameters
from talktime_server.words import NoticeKind

if TYPE_CHECKING:
    from sqlalchemy import RowMapping

MOST_CHARS = 300
_TURNING = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
_BREAKING = frozenset({"Cc", "Cs", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class Told:
    """A notice as it was stored, read for its texts."""

    notice_id: str
    tenant_id: str
    noticed_ms: int
    parameters: Parameters


def told_of(row: "RowMapping") -> tuple[NoticeKind, Told]:
    """A notice as it is kept, for its texts."""
    parameters = json.loads(row["parameters"])
    told = Told(row["notice_id"], row["tenant_id"], row["noticed_ms"], parameters)
    return NoticeKind(row["kind"]), told


def one_line(text: str) -> str:
    """A text from outside on one line, without what is not seen or turns the direction of what is."""
    plain = "".join(" " if _unseen(char) else char for char in text)
    return " ".join(plain.split())[:MOST_CHARS]


def _unseen(char: str) -> bool:
    turning = unicodedata.bidirectional(char) in _TURNING
    return turning or char == "\ufeff" or unicodedata.category(char) in _BREAKING
