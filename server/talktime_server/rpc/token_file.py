"""The tokens file: who may ask, as hashes. Made and changed by the command line, read by every process.

The secrets are 256 random bits, so one SHA-256 is hash enough: there is nothing to guess. The file is replaced
whole, so that a reader sees the old one or the new one, and refused when others than its owner may read it.
"""

import fcntl
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from talktime_server.rpc.shapes import Identity, Role

ALL_TENANTS = "*"
MAX_TOKENS = 10_000
_SECRET_BYTES = 32
_ID_BYTES = 6


class TokenFileRefused(Exception):
    """The tokens file cannot be used; the text says why and what to do, and holds no secret."""


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """One token as kept. The secret itself is nowhere; its hash stays out of reprs and logs."""

    id: str
    sha256: str = field(repr=False)
    role: Role
    tenants: tuple[str, ...]
    name: str
    not_before: str = ""
    expires: str = ""

    @property
    def identity(self) -> Identity:
        """Who shows this token."""
        named = frozenset(self.tenants) - {ALL_TENANTS}
        return Identity(self.name, self.role, named, ALL_TENANTS in self.tenants)

    @property
    def valid_from_s(self) -> float:
        return _instant(self.not_before) if self.not_before else float("-inf")

    @property
    def valid_until_s(self) -> float:
        return _instant(self.expires) if self.expires else float("inf")


def read(path: Path) -> tuple[TokenRecord, ...]:
    """The file's tokens; refuses a file that others may read, or that is not what `create` writes."""
    try:
        with path.open("rb") as file:
            _check_private(path, os.fstat(file.fileno()).st_mode)
            text = file.read()
    except OSError as error:
        raise TokenFileRefused(f"{path}: cannot be read ({error.strerror})") from None
    try:
        return _records(json.loads(text))
    except (ValueError, KeyError, TypeError) as error:
        # Only the kind of the error: its text could quote the file.
        kind = type(error).__name__
        raise TokenFileRefused(f"{path}: is not a tokens file ({kind})") from None


def create(
    path: Path,
    *,
    role: Role,
    tenants: Iterable[str],
    name: str,
    not_before: datetime | None = None,
    expires: datetime | None = None,
) -> str:
    """Adds a token and returns its text, which is shown this once and kept nowhere."""
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    record = TokenRecord(
        id=secrets.token_hex(_ID_BYTES),
        sha256=hash_of(secret),
        role=role,
        tenants=tuple(tenants),
        name=name,
        not_before=_text(not_before),
        expires=_text(expires),
    )
    if not record.tenants:
        raise ValueError('a token names at least one tenant, or "*" for all')
    with _locked(path):
        _write(path, (*listed(path), record))
    return f"tt_{record.id}_{secret}"


def listed(path: Path) -> tuple[TokenRecord, ...]:
    """The tokens of a file; none when there is no file yet."""
    return read(path) if path.exists() else ()


def revoke(path: Path, token_id: str) -> bool:
    """Removes a token; says whether there was one. Every process notices within a second."""
    with _locked(path):
        before = listed(path)
        after = tuple(record for record in before if record.id != token_id)
        if len(after) == len(before):
            return False
        _write(path, after)
    return True


def hash_of(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _check_private(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise TokenFileRefused(f"{path}: is not a regular file")
    if open_to_others := stat.S_IMODE(mode) & 0o077:
        raise TokenFileRefused(
            f"{path}: is open to others (mode {stat.S_IMODE(mode):04o}, bits {open_to_others:03o});"
            " run chmod 600 on it"
        )


def _records(body: Any) -> tuple[TokenRecord, ...]:
    records = tuple(_record(entry) for entry in body["tokens"])
    if len(records) > MAX_TOKENS or len({record.id for record in records}) != len(records):
        raise ValueError("too many tokens, or one id twice")
    return records


def _record(entry: dict[str, Any]) -> TokenRecord:
    tenants = entry["tenants"]
    if not isinstance(tenants, list) or not all(isinstance(tenant, str) for tenant in tenants):
        raise ValueError("tenants is a list of ids")
    record = TokenRecord(
        id=str(entry["id"]),
        sha256=str(entry["sha256"]),
        role=Role(entry["role"]),
        tenants=tuple(tenants),
        name=str(entry["name"]),
        not_before=str(entry.get("not_before") or ""),
        expires=str(entry.get("expires") or ""),
    )
    if len(bytes.fromhex(record.sha256)) != hashlib.sha256().digest_size:
        raise ValueError("sha256 has another length")
    if record.valid_from_s >= record.valid_until_s:
        raise ValueError("expires before it begins")
    return record


def _instant(text: str) -> float:
    at = datetime.fromisoformat(text)
    # A text without an offset means UTC: a file must not change its meaning with the machine's zone.
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _text(at: datetime | None) -> str:
    return at.astimezone(UTC).isoformat() if at else ""


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keeps two writers apart; a reader needs no lock, as the file is replaced whole."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise TokenFileRefused(
            f"{path}: cannot be written ({error.strerror}); "
            "choose another place with TALKTIME_STATE_DIR or TALKTIME_TOKENS_FILE"
        ) from None


def _write(path: Path, records: tuple[TokenRecord, ...]) -> None:
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    text = json.dumps({"tokens": [_entry(record) for record in records]}, indent=1)
    try:
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _entry(record: TokenRecord) -> dict[str, Any]:
    entry = {
        "id": record.id,
        "sha256": record.sha256,
        "role": record.role.value,
        "tenants": list(record.tenants),
        "name": record.name,
    }
    instants = {"not_before": record.not_before, "expires": record.expires}
    return entry | {name: text for name, text in instants.items() if text}
