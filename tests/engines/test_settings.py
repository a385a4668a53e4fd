"""Settings are read once, and a wrong one is refused by name."""

import os
from pathlib import Path

import pytest

from talktime_server.config import BadSetting, Engine, Settings, unknown_variables
from talktime_server.config_kinds import secret

STORE_URLS = (
    "redis://HOST:PORT, unix:///PATH, redis+cluster://HOST:PORT,HOST:PORT "
    "or redis+sentinel://HOST:PORT,HOST:PORT/NAME; rediss for TLS"
)
ARCHIVE_URLS = "sqlite:///PATH or, with the extra talktime[postgres], postgresql://USER:PASSWORD@HOST:PORT/NAME"
MAIL_URLS = (
    "smtps://USER:PASSWORD@HOST:PORT, smtp://USER:PASSWORD@HOST:PORT?starttls, "
    "or smtp://localhost:PORT"
)
PROVIDER_URLS = "https://pay.example.com/PATH, or http://localhost:PORT; no name, no query"
SECRETS = "a file with 1 to 4096 bytes that only its owner may read (chmod 600)"


@pytest.mark.parametrize(
    ("variable", "text", "allowed"),
    [
        ("TALKTIME_PORT", "http", "a whole number from 0 to 65535"),
        ("TALKTIME_PORT", "65536", "a whole number from 0 to 65535"),
        ("TALKTIME_PORT", "1_000", "a whole number from 0 to 65535"),
        ("TALKTIME_PORT", "٣", "a whole number from 0 to 65535"),
        ("TALKTIME_PORT", " 80", "a whole number from 0 to 65535"),
        ("TALKTIME_WORKERS", "0", "a whole number from 1 to 64"),
        ("TALKTIME_ENGINE", "apache", "auto, envoy, grpcio"),
        ("TALKTIME_STORE_FSYNC", "never", "everysec, always"),
        ("TALKTIME_REFLECTION", "perhaps", "yes or no"),
        ("TALKTIME_TLS_CERT", "/no/such/file", "a file that exists"),
        ("TALKTIME_HOST", "a\nb", "a printable text"),
        ("TALKTIME_APP", "os.system", "module:name"),
        *(
            ("TALKTIME_STORE_URL", text, STORE_URLS)
            for text in ("tcp://db", "redis://a:b:c", "db", "redis://a,b", "redis+sentinel://a")
        ),
        *(
            ("TALKTIME_ARCHIVE_URL", text, ARCHIVE_URLS)
            for text in (
                "archive.db",
                "sqlite://",
                "sqlite:///",
                "sqlite://host/path",
                "postgresql://db",
                "postgresql:///name",
                "mysql://db/name",
            )
        ),
        *(
            ("TALKTIME_SMTP_URL", text, MAIL_URLS)
            for text in (
                "mail.example.com",
                "smtp://mail.example.com",
                "smtp://mail.example.com?tls",
                "smtps://mail.example.com?starttls",
                "smtp://mail.example.com:0?starttls",
                "smtps://mail.example.com/folder",
            )
        ),
        *(
            ("TALKTIME_BILLING_URL", text, PROVIDER_URLS)
            for text in (
                "billing.example.com",
                "http://billing.example.com",
                "https://billing.example.com?token=x",
                "ftp://localhost",
            )
        ),
        *(
            ("TALKTIME_MAIL_FROM", text, "an e-mail address, or a name and an address in <>")
            for text in ("phones", "Phones <phones", "a@example.com, b@example.com")
        ),
        ("TALKTIME_MIN_FUNDING", "-1", "a whole number from 0 to 1000000"),
        ("TALKTIME_MIN_FUNDING", "0.5", "a whole number from 0 to 1000000"),
        ("TALKTIME_STRIPE_KEY_FILE", "/no/such/file", SECRETS),
    ],
)
def test_a_wrong_value_is_refused_by_name(variable: str, text: str, allowed: str) -> None:
    with pytest.raises(BadSetting) as refused:
        Settings.read({variable: text})
    assert str(refused.value) == f"{variable} is {text!r}; allowed: {allowed}"


def test_a_key_without_a_certificate_is_refused(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.touch()
    with pytest.raises(BadSetting, match=r"TALKTIME_TLS_KEY .* only with"):
        Settings.read({"TALKTIME_TLS_KEY": str(key)})


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610, 0o777], ids=lambda mode: f"{mode:o}")
def test_a_secret_that_others_may_read_is_refused(mode: int, tmp_path: Path) -> None:
    key = secret_file(tmp_path, "sk_test_1", mode)
    with pytest.raises(BadSetting, match=r"only its owner may read \(chmod 600\)") as refused:
        Settings.read({"TALKTIME_STRIPE_KEY_FILE": str(key)})
    assert "sk_test" not in str(refused.value)


@pytest.mark.parametrize("content", ["", " \n", "x" * 5000])
def test_a_secret_that_is_none_is_refused(content: str, tmp_path: Path) -> None:
    key = secret_file(tmp_path, content)
    with pytest.raises(BadSetting, match="TALKTIME_STRIPE_KEY_FILE"):
        Settings.read({"TALKTIME_STRIPE_KEY_FILE": str(key)})


def test_a_pipe_or_a_folder_is_no_secret(tmp_path: Path) -> None:
    """Neither is waited for."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    for path in (pipe, tmp_path):
        with pytest.raises(BadSetting, match="TALKTIME_STRIPE_KEY_FILE"):
            Settings.read({"TALKTIME_STRIPE_KEY_FILE": str(path)})


def test_a_secret_is_read_without_its_line_end_and_stays_in_its_file(tmp_path: Path) -> None:
    settings = providers(tmp_path)
    assert settings.stripe_key_file is not None
    assert secret(settings.stripe_key_file) == "sk_test_1"
    assert "sk_test_1" not in repr(settings) + repr(settings.to_environ())
    assert Settings.read(settings.to_environ()) == settings


@pytest.mark.parametrize(
    ("variable", "value", "needs"),
    [
        ("TALKTIME_SMTP_URL", "smtps://me:secret@mail.example.com", "TALKTIME_MAIL_FROM"),
        ("TALKTIME_STRIPE_URL", "http://localhost:1", "TALKTIME_STRIPE_KEY_FILE"),
        ("TALKTIME_BILLING_URL", "https://billing.example.com", "TALKTIME_BILLING_TOKEN_FILE"),
        (
            "TALKTIME_WEBHOOK_PORT",
            "8080",
            "TALKTIME_STRIPE_WEBHOOK_SECRET_FILE or TALKTIME_BILLING_WEBHOOK_SECRET_FILE",
        ),
    ],
)
def test_a_setting_without_its_companion_is_refused(variable: str, value: str, needs: str) -> None:
    with pytest.raises(BadSetting, match=f"^{variable} is .*; allowed: only with {needs}$") as bad:
        Settings.read({variable: value})
    assert "secret@" not in str(bad.value)


def test_an_override_wins_and_is_checked_alike() -> None:
    environ = {"TALKTIME_PORT": "1", "TALKTIME_ENGINE": "grpcio"}
    settings = Settings.read(environ, port=2, engine=None)
    assert (settings.port, settings.engine) == (2, Engine.GRPCIO)
    with pytest.raises(BadSetting, match="TALKTIME_PORT is '-1'"):
        Settings.read(environ, port=-1)


def test_an_empty_variable_is_as_if_it_were_not_there() -> None:
    assert Settings.read({"TALKTIME_PORT": "", "TALKTIME_STORE_URL": ""}) == Settings()


def test_what_processes_are_given_reads_back_the_same(tmp_path: Path) -> None:
    cert = tmp_path / "cert.pem"
    cert.touch()
    settings = Settings.read(
        {}, reflection="yes", state_dir=tmp_path, tls_cert=cert, tls_key=cert, store_url="redis://x"
    )
    assert Settings.read(settings.to_environ()) == settings


def test_passwords_are_not_shown() -> None:
    store, archive = "redis://:hidden@store", "postgresql://me:hidden@db/talktime"
    shown = repr(Settings(store_url=store, archive_url=archive, smtp_url="smtps://me:hidden@mail"))
    assert "hidden" not in shown
    with pytest.raises(BadSetting) as refused:
        Settings.read({"TALKTIME_STORE_URL": "tcp://me:secret@store"})
    assert "secret" not in str(refused.value)
    assert "'tcp://…@store'" in str(refused.value)


def test_the_state_folder_follows_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/somewhere")
    assert Settings.read({}).state_dir == Path("/somewhere/talktime")
    assert Settings.read({}).tokens_path == Path("/somewhere/talktime/tokens.json")
    assert Settings.read({}).archive == "sqlite:////somewhere/talktime/archive.db"


def test_a_variable_that_means_nothing_is_named() -> None:
    environ = {"TALKTIME_WORKERZ": "8", "TALKTIME_WORKERS": "2", "TALKTIME_TARGET": "x", "PATH": ""}
    assert unknown_variables(environ) == ["TALKTIME_WORKERZ"]


def secret_file(folder: Path, content: str, mode: int = 0o600) -> Path:
    path = folder / "secret"
    path.write_text(content)
    path.chmod(mode)
    return path


def providers(folder: Path) -> Settings:
    """Settings with everything that is about money coming in."""
    key = secret_file(folder, "sk_test_1\n")
    return Settings.read(
        {},
        archive_url="postgresql://me:secret@db.example.com:5432/talktime",
        smtp_url="smtp://me:secret@mail.example.com:587?starttls",
        mail_from="billing@example.com",
        stripe_key_file=key,
        stripe_webhook_secret_file=key,
        billing_url="https://billing.example.com/talktime",
        billing_token_file=key,
        webhook_port=8080,
        private_webhooks="yes",
    )
