"""How the text of a setting is read: one function per kind, and the sentence that says what is allowed."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_YES = frozenset({"1", "true", "yes", "on"})
_NO = frozenset({"0", "false", "no", "off"})
_STORE_SCHEMES = frozenset({"redis", "rediss", "unix"})


@dataclass(frozen=True, slots=True)
class Kind:
    """How a text that is not empty is read, and the words that say what is allowed."""

    read: Callable[[str], Any]
    allowed: str
    shown: Callable[[str], str] = str
    """The text as a refusal may repeat it."""


def whole(low: int, high: int) -> Kind:
    """A whole number within bounds, both included."""

    def read(text: str) -> int:
        # int() alone takes "1_000", " 7 " and digits of other scripts.
        if not (text.isascii() and text.isdigit() and len(text) <= 18 and low <= int(text) <= high):
            raise ValueError(text)
        return int(text)

    return Kind(read, f"a whole number from {low} to {high}")


def choice(words: type[StrEnum]) -> Kind:
    """One word of an enumeration."""
    return Kind(words, ", ".join(words))


def _yes_no(text: str) -> bool:
    word = text.lower()
    if word not in _YES | _NO:
        raise ValueError(text)
    return word in _YES


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError(text)
    return text


def _store_url(text: str) -> str:
    url = urlsplit(_printable(text))
    if url.scheme not in _STORE_SCHEMES or not (url.hostname or url.path):
        raise ValueError(text)
    if url.port == 0:  # one that is no number raises by itself
        raise ValueError(text)
    return text


def _without_password(text: str) -> str:
    return re.sub(r"//.*@", "//…@", text)


def _path(text: str) -> Path:
    if "\0" in text:
        raise ValueError(text)
    return Path(text).expanduser().absolute()


def _file(text: str) -> Path:
    found = _path(text)
    if not found.is_file():
        raise ValueError(text)
    return found


def _dotted(text: str) -> str:
    module, colon, name = text.partition(":")
    if not (colon and name.isidentifier() and all(map(str.isidentifier, module.split(".")))):
        raise ValueError(text)
    return text


YES_NO = Kind(_yes_no, "yes or no")
TEXT = Kind(_printable, "a printable text")
STORE_URL = Kind(
    _store_url, "redis://HOST:PORT, rediss://HOST:PORT or unix:///PATH", _without_password
)
PATH = Kind(_path, "a path")
FILE = Kind(_file, "a file that exists")
DOTTED = Kind(_dotted, "module:name")
