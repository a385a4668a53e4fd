"""Where the store is, in every form that an operator may write, and in those that are refused."""

import pytest

from talktime_server.config import BadSetting, Settings
from talktime_server.ledger.store_url import Kind, StoreUrl

SERVER, CLUSTER, SENTINEL = Kind.SERVER, Kind.CLUSTER, Kind.SENTINEL


@pytest.mark.parametrize(
    ("text", "kind", "server", "addresses", "name"),
    [
        ("redis://db", SERVER, "redis://db", (), ""),
        ("rediss://me:secret@db:6380/1", SERVER, "rediss://me:secret@db:6380/1", (), ""),
        ("unix:///run/store", SERVER, "unix:///run/store", (), ""),
        ("redis+cluster://db", CLUSTER, "redis://db:6379", (("db", 6379),), ""),
        (
            "rediss+cluster://me:a%40b@one:7000,two:7001/0?ssl_cert_reqs=none",
            CLUSTER,
            "rediss://me:a%40b@one:7000?ssl_cert_reqs=none",
            (("one", 7000), ("two", 7001)),
            "",
        ),
        (
            "redis+cluster://[::1]:7000,[::2]",
            CLUSTER,
            "redis://[::1]:7000",
            (("::1", 7000), ("::2", 6379)),
            "",
        ),
        (
            "redis+sentinel://:secret@one,two:26380/calls?sentinel_password=x&db=2",
            SENTINEL,
            "redis://:secret@one:26379?db=2",
            (("one", 26379), ("two", 26380)),
            "calls",
        ),
    ],
)
def test_a_url_is_taken_apart(
    text: str, kind: Kind, server: str, addresses: tuple[tuple[str, int], ...], name: str
) -> None:
    url = StoreUrl.read(text)
    assert (url.kind, url.server, url.addresses, url.name) == (kind, server, addresses, name)
    theirs = (("sentinel_password", "x"),) if "sentinel_password" in text else ()
    assert url.sentinel_options == theirs


@pytest.mark.parametrize(
    "text",
    [
        "db",
        "redis://",
        "tcp://db",
        "tcp+cluster://db",
        "redis+ring://db",
        "redis+://db",
        "redis://one,two",
        "redis://one:1,two:2",
        "redis+cluster://",
        "redis+cluster://one,",
        "redis+cluster://one,,two",
        "redis+cluster://one:0",
        "redis+cluster://one:x",
        "redis+cluster://one:70000",
        "redis+cluster://one/1",
        "redis+cluster://one#two",
        "redis+cluster://me@one,me@two",
        "redis+cluster://one?sentinel_username=x",
        "redis+sentinel://one",
        "redis+sentinel://one/",
        "redis+sentinel://one/a/b",
        "redis+sentinel://one/name?db=x#y",
        "unix+cluster:///run/store",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(BadSetting, match="TALKTIME_STORE_URL"):
        Settings.read({"TALKTIME_STORE_URL": text})
