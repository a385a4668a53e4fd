"""How the text of a setting is read: one function per kind, and the sentence that says what is allowed."""

import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parseaddr
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from talktime_server.ledger.store_url import FORMS, StoreUrl

_YES = frozenset({"1", "true", "yes", "on"})
_NO = frozenset({"0", "false", "no", "off"})
_MAIL_SCHEMES = frozenset({"smtp", "smtps"})
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_MAIL_ADDRESS = re.compile(r"[A-Za-z0-9._%+=-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
SECRET_BYTES = 4096


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
    StoreUrl.read(_printable(text))
    return text


def _archive_url(text: str) -> str:
    url = urlsplit(_printable(text))
    file = url.scheme == "sqlite" and not url.netloc and len(url.path) > 1
    server = url.scheme == "postgresql" and url.hostname and len(url.path) > 1 and url.port != 0
    if not (file or (server and find_spec("asyncpg"))):
        raise ValueError(text)
    return text


def _mail_url(text: str) -> str:
    url = urlsplit(_printable(text))
    bare = url.path in ("", "/") and not url.fragment
    if url.scheme not in _MAIL_SCHEMES or not url.hostname or url.port == 0 or not bare:
        raise ValueError(text)
    # A password that travels in the clear is everybody's, and smtps is encrypted from its first byte.
    starttls = url.query == "starttls" and url.scheme == "smtp"
    encrypted = starttls or url.scheme == "smtps"
    if (url.query and not starttls) or not (encrypted or url.hostname in _LOOPBACK):
        raise ValueError(text)
    return text


def _mail_sender(text: str) -> str:
    _, address = parseaddr(_printable(text))
    named = text == address or text.endswith(f"<{address}>")
    if not _MAIL_ADDRESS.fullmatch(address) or not named or len(text) > 254:
        raise ValueError(text)
    return text


def _provider_url(text: str) -> str:
    url = urlsplit(_printable(text))
    beside_us = url.scheme == "http" and url.hostname in _LOOPBACK
    if not url.hostname or url.port == 0 or not (url.scheme == "https" or beside_us):
        raise ValueError(text)
    # What is secret stands in a file, so there is nothing for a name and a password to do here.
    if url.username is not None or url.query or url.fragment:
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


def _secret_file(text: str) -> Path:
    found = _path(text)
    try:
        secret(found)
    except OSError:
        raise ValueError(text) from None
    return found


def secret(path: Path) -> str:
    """The secret that a file holds, without the end of its line. Raises ValueError for an empty or
    large one and for a file that others may read, OSError where there is none.
    """
    opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(opened, "rb") as file:
        # Of what was opened, so that nobody changes it between the look and the reading.
        found = os.fstat(opened)
        if not stat.S_ISREG(found.st_mode) or stat.S_IMODE(found.st_mode) & 0o077:
            raise ValueError(f"{path} is not a file that only its owner may read")
        content = file.read(SECRET_BYTES + 1)
    if not content.strip() or len(content) > SECRET_BYTES:
        raise ValueError(f"{path} holds no secret")
    return content.decode("ascii", "replace").strip()


def _dotted(text: str) -> str:
    module, colon, name = text.partition(":")
    if not (colon and name.isidentifier() and all(map(str.isidentifier, module.split(".")))):
        raise ValueError(text)
    return text


YES_NO = Kind(_yes_no, "yes or no")
TEXT = Kind(_printable, "a printable text")
STORE_URL = Kind(_store_url, FORMS, _without_password)
ARCHIVE_URL = Kind(
    _archive_url,
    "sqlite:///PATH or, with the extra talktime[postgres], postgresql://USER:PASSWORD@HOST:PORT/NAME",
    _without_password,
)
MAIL_URL = Kind(
    _mail_url,
    "smtps://USER:PASSWORD@HOST:PORT, smtp://USER:PASSWORD@HOST:PORT?starttls, "
    "or smtp://localhost:PORT",
    _without_password,
)
MAIL_SENDER = Kind(_mail_sender, "an e-mail address, or a name and an address in <>")
PROVIDER_URL = Kind(
    _provider_url,
    "https://pay.example.com/PATH, or http://localhost:PORT; no name, no query",
    _without_password,
)
SECRET_FILE = Kind(
    _secret_file, f"a file with 1 to {SECRET_BYTES} bytes that only its owner may read (chmod 600)"
)
PATH = Kind(_path, "a path")
FILE = Kind(_file, "a file that exists")
DOTTED = Kind(_dotted, "module:name")
