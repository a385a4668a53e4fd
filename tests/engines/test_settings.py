"""Settings are read once, and a wrong one is refused by name."""

from pathlib import Path

import pytest

from talktime_server.config import BadSetting, Engine, Settings, unknown_variables

STORE_URLS = "redis://HOST:PORT, rediss://HOST:PORT or unix:///PATH"


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
        *(("TALKTIME_STORE_URL", text, STORE_URLS) for text in ("tcp://db", "redis://a:b:c", "db")),
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


def test_the_stores_password_is_not_shown() -> None:
    assert "secret" not in repr(Settings(store_url="redis://:secret@store"))
    with pytest.raises(BadSetting) as refused:
        Settings.read({"TALKTIME_STORE_URL": "tcp://me:secret@store"})
    assert "secret" not in str(refused.value)
    assert "'tcp://…@store'" in str(refused.value)


def test_the_state_folder_follows_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/somewhere")
    assert Settings.read({}).state_dir == Path("/somewhere/talktime")
    assert Settings.read({}).tokens_path == Path("/somewhere/talktime/tokens.json")


def test_a_variable_that_means_nothing_is_named() -> None:
    environ = {"TALKTIME_WORKERZ": "8", "TALKTIME_WORKERS": "2", "TALKTIME_TARGET": "x", "PATH": ""}
    assert unknown_variables(environ) == ["TALKTIME_WORKERZ"]
