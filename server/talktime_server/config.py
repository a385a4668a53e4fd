"""Settings: read once at start from TALKTIME_* variables, then handed on as plain values.

A wrong value is refused with the variable's name, what was read, and what is allowed; nothing is guessed.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self, get_type_hints

from talktime_server.config_kinds import DOTTED, FILE, PATH, STORE_URL, TEXT, YES_NO, choice, whole

PREFIX = "TALKTIME_"
# These mean something to the command line, or are set by one of our processes for another.
OTHER_VARIABLES = frozenset(
    PREFIX + name
    for name in ("TARGET", "TENANT", "TOKEN", "CA", "REGION", "CONTROL", "WORKER", "ENVOY_ADMIN")
)


class BadSetting(ValueError):
    """A setting has a value that is not allowed."""

    def __init__(self, variable: str, value: str, allowed: str) -> None:
        super().__init__(f"{variable} is {value!r}; allowed: {allowed}")
        self.variable = variable


class Engine(StrEnum):
    """What serves the calls."""

    AUTO = "auto"
    ENVOY = "envoy"
    GRPCIO = "grpcio"


class Fsync(StrEnum):
    """When the embedded store makes its writes durable: each second, or before it answers."""

    EVERYSEC = "everysec"
    ALWAYS = "always"


class LogLevel(StrEnum):
    """The least urgent lines to write."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


_Count = Annotated[int, whole(1, 1_000_000)]
_File = Annotated[Path | None, FILE]


def _state_dir() -> Path:
    home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(home).expanduser().absolute() / "talktime"


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator may choose. The variable of `store_url` is TALKTIME_STORE_URL, and so on."""

    host: Annotated[str, TEXT] = "127.0.0.1"
    port: Annotated[int, whole(0, 65_535)] = 7788
    """0 takes a free one."""
    workers: Annotated[int, whole(1, 64)] = 2
    engine: Annotated[Engine, choice(Engine)] = Engine.AUTO
    store_url: Annotated[str, STORE_URL] = field(default="", repr=False)
    """An external store; empty starts the embedded one. It may hold a password."""
    store_timeout_ms: Annotated[int, whole(1, 2_000)] = 50
    store_fsync: Annotated[Fsync, choice(Fsync)] = Fsync.EVERYSEC
    """Of the embedded store."""
    state_dir: Annotated[Path, PATH] = field(default_factory=_state_dir)
    tokens_file: Annotated[Path | None, PATH] = None
    """Without one: `tokens.json` in the state folder."""
    reflection: Annotated[bool, YES_NO] = False
    receipt_ttl_seconds: Annotated[int, whole(60, 30 * 86_400)] = 86_400
    refusal_ttl_seconds: Annotated[int, whole(60, 30 * 86_400)] = 600
    drain_seconds: Annotated[int, whole(1, 600)] = 8
    """How long open calls may take to finish when the service stops."""
    tls_cert: _File = None
    tls_key: _File = None
    tls_client_ca: _File = None
    """With one, only clients with a certificate of this authority are let in."""
    in_flight: _Count = 1_024
    """Unary calls in one process; the next one is refused, not queued."""
    in_flight_per_tenant: _Count = 512
    exchange_in_flight: _Count = 4_096
    """Operations of Exchange streams in one process."""
    exchange_in_flight_per_tenant: _Count = 2_048
    streams: _Count = 256
    """Exchange streams in one process."""
    log_level: Annotated[LogLevel, choice(LogLevel)] = LogLevel.INFO
    app: Annotated[str, DOTTED] = "talktime_server.app:open_app"
    """What a process serves; other than the default only in tests and measurements."""

    @classmethod
    def read(cls, environ: Mapping[str, str], **overrides: object) -> Self:
        """The settings of these variables; an override that is not None wins, and is checked alike."""
        hints = get_type_hints(cls, include_extras=True)
        assert overrides.keys() <= hints.keys(), overrides.keys() - hints.keys()
        given = {name: str(value) for name, value in overrides.items() if value is not None}
        texts = {name: given.get(name, environ.get(variable(name), "")) for name in hints}
        settings = cls(**{n: _read(n, text, hints[n]) for n, text in texts.items() if text})
        settings._check_tls()
        return settings

    def to_environ(self) -> dict[str, str]:
        """The variables that read back as these settings, for the processes that are started."""
        values = {variable(f.name): getattr(self, f.name) for f in fields(self)}
        return {name: str(value) for name, value in values.items() if value not in (None, "")}

    @property
    def tokens_path(self) -> Path:
        """Where the tokens are."""
        return self.tokens_file or self.state_dir / "tokens.json"

    def _check_tls(self) -> None:
        for name, given, needed in (
            ("tls_cert", self.tls_cert, self.tls_key),
            ("tls_key", self.tls_key, self.tls_cert),
            ("tls_client_ca", self.tls_client_ca, self.tls_cert),
        ):
            if given and not needed:
                both = f"only with {variable('tls_cert')} and {variable('tls_key')}"
                raise BadSetting(variable(name), str(given), both)


def variable(name: str) -> str:
    """The environment variable of a field of Settings."""
    return PREFIX + name.upper()


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Variables that look like ours and mean nothing: most likely a slip that an operator wants to hear of."""
    known = {variable(f.name) for f in fields(Settings)} | OTHER_VARIABLES
    return sorted(name for name in environ if name.startswith(PREFIX) and name not in known)


def _read(name: str, text: str, hint: Any) -> Any:
    (kind,) = hint.__metadata__
    try:
        return kind.read(text)
    except ValueError:
        raise BadSetting(variable(name), kind.shown(text), kind.allowed) from None
