"""Settings: read once at start from TALKTIME_* variables, then handed on as plain values.

A wrong value is refused with the variable's name, what was read, and what is allowed; nothing is guessed.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self, get_type_hints

from talktime_server.config_kinds import (
    ARCHIVE_URL,
    DOTTED,
    FILE,
    MAIL_SENDER,
    MAIL_URL,
    PATH,
    PROVIDER_URL,
    SECRET_FILE,
    STORE_URL,
    TEXT,
    YES_NO,
    choice,
    whole,
)

PREFIX = "TALKTIME_"
# These mean something to the command line, or are set by one of our processes for another.
OTHER_VARIABLES = frozenset(
    PREFIX + name
    for name in (
        *("TARGET", "TENANT", "TOKEN", "CA", "REGION"),
        *("CONTROL", "WORKER", "OFFICE", "ENVOY_ADMIN"),
    )
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
_Units = Annotated[int, whole(0, 1_000_000)]
_Port = Annotated[int, whole(0, 65_535)]
_File = Annotated[Path | None, FILE]
_Secret = Annotated[Path | None, SECRET_FILE]


def _state_dir() -> Path:
    home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(home).expanduser().absolute() / "talktime"


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator may choose. The variable of `store_url` is TALKTIME_STORE_URL, and so on."""

    host: Annotated[str, TEXT] = "127.0.0.1"
    port: _Port = 7788
    """0 takes a free one."""
    workers: Annotated[int, whole(1, 64)] = 2
    engine: Annotated[Engine, choice(Engine)] = Engine.AUTO
    store_url: Annotated[str, STORE_URL] = field(default="", repr=False)
    """An external store; empty starts the embedded one. It may hold a password."""
    store_timeout_ms: Annotated[int, whole(1, 2_000)] = 50
    store_fsync: Annotated[Fsync, choice(Fsync)] = Fsync.EVERYSEC
    """Of the embedded store."""
    archive_url: Annotated[str, ARCHIVE_URL] = field(default="", repr=False)
    """Where the record of everything is kept; empty is a file in the state folder. It may hold a password."""
    state_dir: Annotated[Path, PATH] = field(default_factory=_state_dir)
    tokens_file: Annotated[Path | None, PATH] = None
    """Without one: `tokens.json` in the state folder."""
    reflection: Annotated[bool, YES_NO] = False
    receipt_ttl_seconds: Annotated[int, whole(60, 30 * 86_400)] = 86_400
    refusal_ttl_seconds: Annotated[int, whole(60, 30 * 86_400)] = 600
    back_office: Annotated[bool, YES_NO] = True
    """Whether this service also archives, charges and notifies. Of several on one store, one must."""
    min_funding: _Units = 50
    """The smallest sum that may be added at once, in whole units of the currency (domain.md 5); 0: any."""
    min_trigger: _Units = 50
    """The smallest balance at which a recharge may be due, likewise."""
    smtp_url: Annotated[str, MAIL_URL] = field(default="", repr=False)
    """The server that takes notices by mail; empty sends none. It may hold a password."""
    smtp_ca: _File = None
    """The authority of its certificate, where the system does not know it."""
    mail_from: Annotated[str, MAIL_SENDER] = ""
    stripe_key_file: _Secret = None
    stripe_webhook_secret_file: _Secret = None
    stripe_url: Annotated[str, PROVIDER_URL] = ""
    """Empty is Stripe's own."""
    billing_url: Annotated[str, PROVIDER_URL] = ""
    billing_token_file: _Secret = None
    billing_webhook_secret_file: _Secret = None
    webhook_host: Annotated[str, TEXT] = "127.0.0.1"
    """Where payment providers call back."""
    webhook_port: _Port = 0
    """0 takes no calls."""
    private_webhooks: Annotated[bool, YES_NO] = False
    """Whether a tenant's webhook may be at a private address."""
    drain_seconds: Annotated[int, whole(1, 600)] = 8
    """How long open calls may take to finish when the service stops, and the store to take records of emergency calls."""
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
        settings._check_companions()
        return settings

    def to_environ(self) -> dict[str, str]:
        """The variables that read back as these settings, for the processes that are started."""
        values = {variable(f.name): getattr(self, f.name) for f in fields(self)}
        return {name: str(value) for name, value in values.items() if value not in (None, "")}

    @property
    def tokens_path(self) -> Path:
        """Where the tokens are."""
        return self.tokens_file or self.state_dir / "tokens.json"

    @property
    def archive(self) -> str:
        """The archive's URL."""
        return self.archive_url or f"sqlite:///{self.state_dir / 'archive.db'}"

    def _check_companions(self) -> None:
        """Some settings mean nothing without another, which was most likely forgotten."""
        for names, needed in _COMPANIONS.items():
            for name in names:
                given = getattr(self, name)
                missing = [each for each in needed if not getattr(self, each)]
                if given and missing:
                    only = f"only with {' and '.join(map(variable, missing))}"
                    raise BadSetting(variable(name), _shown(name, given), only)
        takers = (self.stripe_webhook_secret_file, self.billing_webhook_secret_file)
        if self.webhook_port and not any(takers):
            only = f"only with {' or '.join(map(variable, _WEBHOOK_SECRETS))}"
            raise BadSetting(variable("webhook_port"), str(self.webhook_port), only)


_WEBHOOK_SECRETS = ("stripe_webhook_secret_file", "billing_webhook_secret_file")
# What has a place here needs all of what stands behind it.
_COMPANIONS = {
    ("tls_cert",): ("tls_key",),
    ("tls_key", "tls_client_ca"): ("tls_cert",),
    ("smtp_url",): ("mail_from",),
    ("smtp_ca",): ("smtp_url",),
    ("stripe_url", "stripe_webhook_secret_file"): ("stripe_key_file",),
    ("billing_url",): ("billing_token_file",),
    ("billing_token_file", "billing_webhook_secret_file"): ("billing_url",),
}


def _shown(name: str, value: object) -> str:
    (kind,) = get_type_hints(Settings, include_extras=True)[name].__metadata__
    return str(kind.shown(str(value)))


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
