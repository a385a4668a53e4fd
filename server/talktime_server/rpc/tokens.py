"""Who asks: from an authorization header to an identity.

A verified header is remembered by its hash, so that a call costs one SHA-256 and one look-up. The file is looked at once
a second at most, and everything remembered is forgotten when it changed: a revoked token dies within a second.
"""

import hashlib
import hmac
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from talktime_server.failure import Unauthenticated
from talktime_server.rpc.shapes import Identity
from talktime_server.rpc.token_file import TokenFileRefused, TokenRecord, hash_of, read

CHECK_EVERY_S = 1.0
MAX_REMEMBERED = 4096
MAX_HEADER_BYTES = 512
# An unknown id is compared with this, so that it costs what a known one costs.
_NOBODY_SHA256 = "0" * 64

_log = structlog.get_logger("talktime.tokens")


@dataclass(frozen=True, slots=True)
class _Verified:
    identity: Identity
    from_s: float
    until_s: float


class Tokens:
    """The tokens of one file, kept fresh. The clocks are arguments so that tests need not wait."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._clock = clock
        self._ticks = ticks
        self._mark = _mark_of(path)
        self._records = _by_id(read(path))
        self._remembered: dict[bytes, _Verified] = {}
        self._next_check = ticks() + CHECK_EVERY_S

    def __repr__(self) -> str:
        return f"Tokens({len(self._records)} of {self._path})"

    def identify(self, header: bytes) -> Identity:
        """The identity behind the value of an authorization header; one answer for all that is wrong."""
        if self._ticks() >= self._next_check:
            self.refresh()
        key = hashlib.sha256(header).digest()
        verified = self._remembered.get(key) or self._verify(key, header)
        if verified.from_s <= self._clock() < verified.until_s:
            return verified.identity
        raise nobody()

    def refresh(self) -> None:
        """Reads the file again if it changed. One that cannot be read leaves the tokens as they were, loudly."""
        self._next_check = self._ticks() + CHECK_EVERY_S
        mark = _mark_of(self._path)
        if mark == self._mark:
            return
        try:
            records = _by_id(read(self._path))
        except TokenFileRefused as refused:
            _log.error("tokens_not_reloaded", why=str(refused))
            return
        self._mark, self._records = mark, records
        self._remembered.clear()

    def _verify(self, key: bytes, header: bytes) -> _Verified:
        token_id, secret = _split(header)
        if token_id not in self._records:
            self.refresh()  # One stat: a token may be used the moment it is made.
        record = self._records.get(token_id)
        kept = record.sha256 if record else _NOBODY_SHA256
        same = hmac.compare_digest(hash_of(secret), kept)
        if record is None or not same:
            raise nobody()
        verified = _Verified(record.identity, record.valid_from_s, record.valid_until_s)
        if len(self._remembered) >= MAX_REMEMBERED:
            self._remembered.clear()
        self._remembered[key] = verified
        return verified


def nobody() -> Unauthenticated:
    """The one answer to a missing, wrong, expired or unreadable token: it must not teach what was wrong."""
    return Unauthenticated("UNAUTHENTICATED", "a valid bearer token is required")


def _split(header: bytes) -> tuple[str, str]:
    """The id and the secret of `Bearer tt_<id>_<secret>`. Bytes that no token has, CR, LF and NUL among them, end here."""
    if len(header) > MAX_HEADER_BYTES or not header.isascii():
        raise nobody()
    scheme, _, token = header.decode("ascii").partition(" ")
    kind, _, rest = token.partition("_")
    token_id, _, secret = rest.partition("_")
    well_formed = scheme.lower() == "bearer" and kind == "tt" and token_id.isalnum()
    if not (well_formed and secret.replace("_", "").replace("-", "").isalnum()):
        raise nobody()
    return token_id, secret


def _by_id(records: tuple[TokenRecord, ...]) -> dict[str, TokenRecord]:
    return {record.id: record for record in records}


def _mark_of(path: Path) -> tuple[int, int, int]:
    """Changes whenever the file is replaced or rewritten."""
    try:
        stat = os.stat(path)
    except OSError:
        return (0, 0, 0)
    return (stat.st_ino, stat.st_mtime_ns, stat.st_size)
