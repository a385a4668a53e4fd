"""Tokens: made once, kept as hashes, believed while their file says so, and never shown again."""

import hmac
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog

from talktime_server.failure import Forbidden, Invalid, Unauthenticated
from talktime_server.rpc import token_file, tokens
from talktime_server.rpc.shapes import Identity, Role
from talktime_server.rpc.token_file import TokenFileRefused
from talktime_server.rpc.tokens import Tokens


@dataclass
class Clock:
    now_s: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "tokens.json"


def make(
    path: Path,
    name: str = "r1",
    tenants: Sequence[str] = ("acme",),
    expires: datetime | None = None,
) -> str:
    return token_file.create(path, role=Role.ROUTER, tenants=tenants, name=name, expires=expires)


def bearer(token: str) -> bytes:
    return f"Bearer {token}".encode()


def test_a_made_token_is_believed(path: Path) -> None:
    token = make(path)
    assert Tokens(path).identify(bearer(token)) == Identity("r1", Role.ROUTER, frozenset({"acme"}))
    assert Tokens(path).identify(b"bearer " + token.encode()).name == "r1"


def test_a_star_is_every_tenant(path: Path) -> None:
    token = make(path, tenants=["*"])
    identity = Tokens(path).identify(bearer(token))
    assert identity.tenant("any") == "any"
    with pytest.raises(Invalid, match="tenant_id"):
        identity.tenant("")


def test_a_tenant_is_one_of_the_tokens_or_its_only_one() -> None:
    identity = Identity("r1", Role.ROUTER, frozenset({"acme"}))
    assert identity.tenant("") == identity.tenant("acme") == "acme"
    with pytest.raises(Forbidden):
        identity.tenant("other")


def test_the_secret_is_in_no_file_and_no_repr(path: Path) -> None:
    token = make(path)
    secret = token.split("_", 2)[2]
    assert len(secret) >= 43
    assert secret not in path.read_text()
    kept = json.loads(path.read_text())["tokens"][0]["sha256"]
    known = Tokens(path)
    known.identify(bearer(token))
    shown = repr(known) + repr(token_file.listed(path))
    assert secret not in shown
    assert kept not in shown


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610])
def test_a_file_open_to_others_is_refused_with_what_to_do(path: Path, mode: int) -> None:
    make(path)
    path.chmod(mode)
    with pytest.raises(TokenFileRefused, match="chmod 600"):
        Tokens(path)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_file_made_by_us_is_private(path: Path, mode: int) -> None:
    make(path)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(mode)
    Tokens(path)


ENTRY = {"id": "ab", "sha256": "0" * 64, "role": "router", "tenants": ["a"], "name": "x"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"tokens": [1]}',
        json.dumps({"tokens": [ENTRY | {"role": "king"}]}),
        json.dumps({"tokens": [ENTRY | {"sha256": "00"}]}),
        json.dumps({"tokens": [ENTRY | {"tenants": "*"}]}),
        json.dumps({"tokens": [ENTRY | {"expires": "soon"}]}),
        json.dumps({"tokens": [ENTRY, ENTRY]}),
    ],
)
def test_a_file_that_is_no_tokens_file_is_refused_without_quoting_it(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(TokenFileRefused, match="is not a tokens file") as refused:
        Tokens(path)
    assert "king" not in str(refused.value)


def test_a_missing_file_is_refused(path: Path) -> None:
    with pytest.raises(TokenFileRefused, match="cannot be read"):
        Tokens(path)


def test_an_unknown_id_costs_the_same_compare(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = make(path)
    known = Tokens(path)
    compared: list[int] = []
    real = hmac.compare_digest

    def counted(left: str, right: str) -> bool:
        compared.append(len(right))
        return real(left, right)

    monkeypatch.setattr(hmac, "compare_digest", counted)
    for wrong in (token[:-1] + ("a" if token[-1] != "a" else "b"), "tt_ffffffffffff_" + "x" * 43):
        with pytest.raises(Unauthenticated):
            known.identify(bearer(wrong))
    assert compared == [64, 64]


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"Bearer",
        b"Bearer ",
        b"Bearer  {token}",
        b"Bearer {token} ",
        b"Bearer {token}\r\n",
        b"Bearer {token}\x00",
        b"Bearer {token}, Bearer {token}",
        b"Basic {token}",
        b"{token}",
        b"Bearer tt__x",
        b"Bearer tt_a_",
        b"Bearer \xff\xfe",
        b"Bearer " + b"x" * 100_000,
    ],
)
def test_nothing_but_a_bearer_token_is_believed(path: Path, header: bytes) -> None:
    token = make(path)
    with pytest.raises(Unauthenticated, match=r"^a valid bearer token is required$"):
        Tokens(path).identify(header.replace(b"{token}", token.encode()))


def test_a_remembered_token_still_expires(path: Path) -> None:
    clock = Clock()
    expires = datetime.fromtimestamp(clock.now_s, UTC) + timedelta(minutes=1)
    token = make(path, expires=expires)
    known = Tokens(path, clock=clock)
    assert known.identify(bearer(token)).name == "r1"
    clock.now_s += 61
    with pytest.raises(Unauthenticated):
        known.identify(bearer(token))


def test_a_revoked_token_dies_within_a_second_and_a_new_one_lives(path: Path) -> None:
    ticks = Clock()
    first = make(path)
    known = Tokens(path, ticks=ticks)
    known.identify(bearer(first))
    second = make(path, "r2")
    revoked = next(record.id for record in token_file.listed(path) if record.name == "r1")
    assert token_file.revoke(path, revoked)
    assert not token_file.revoke(path, revoked)
    ticks.now_s += tokens.CHECK_EVERY_S
    assert known.identify(bearer(second)).name == "r2"
    with pytest.raises(Unauthenticated):
        known.identify(bearer(first))


def test_a_file_that_turned_bad_leaves_the_tokens_as_they_were_and_is_loud(path: Path) -> None:
    ticks = Clock()
    token = make(path)
    known = Tokens(path, ticks=ticks)
    path.write_text("half a fi")
    ticks.now_s += tokens.CHECK_EVERY_S
    with structlog.testing.capture_logs() as lines:
        assert known.identify(bearer(token)).name == "r1"
    assert [line["event"] for line in lines] == ["tokens_not_reloaded"]


def test_what_is_remembered_is_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MAX_REMEMBERED", 3)
    made = [make(path, f"r{index}") for index in range(10)]
    known = Tokens(path)
    assert [known.identify(bearer(token)).name for token in made] == [f"r{n}" for n in range(10)]


def test_a_write_leaves_no_scraps(path: Path) -> None:
    make(path)
    make(path, "r2")
    assert sorted(os.listdir(path.parent)) == ["tokens.json", "tokens.json.lock"]
    assert [record.name for record in token_file.listed(path)] == ["r1", "r2"]


def test_a_token_without_tenants_is_not_made(path: Path) -> None:
    with pytest.raises(ValueError, match="at least one tenant"):
        make(path, tenants=[])
    assert not path.exists()


def test_a_new_token_works_at_once(path: Path) -> None:
    make(path)
    known = Tokens(path, ticks=Clock())
    assert known.identify(bearer(make(path, "r2"))).name == "r2"
