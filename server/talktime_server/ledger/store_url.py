"""Where the store is, as an operator writes it: one server, one that Sentinels watch over, or a cluster.

    redis://USER:PASSWORD@HOST:6379, rediss:// for TLS, unix:///PATH
    redis+cluster://USER:PASSWORD@HOST:6379,HOST:6379       any of its servers; each tells of the others
    redis+sentinel://USER:PASSWORD@HOST:26379,HOST:26379/NAME   the Sentinels, and what they call the store

Name and password are the store's. Sentinels that want some too have them behind the question mark, as
sentinel_username and sentinel_password; every other word there goes to the driver.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self
from urllib.parse import parse_qsl, urlencode, urlsplit

FORMS = (
    "redis://HOST:PORT, unix:///PATH, redis+cluster://HOST:PORT,HOST:PORT "
    "or redis+sentinel://HOST:PORT,HOST:PORT/NAME; rediss for TLS"
)
SENTINEL_OPTIONS = ("sentinel_username", "sentinel_password")

Address = tuple[str, int]


class Kind(StrEnum):
    """What is at a URL."""

    SERVER = ""
    CLUSTER = "cluster"
    SENTINEL = "sentinel"


_PORTS = {Kind.CLUSTER: 6379, Kind.SENTINEL: 26379}


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """A URL taken apart. `server` is the URL of one server: the first of a cluster, or with the options
    for whatever server the Sentinels name.
    """

    kind: Kind
    server: str
    addresses: tuple[Address, ...] = ()
    name: str = ""
    sentinel_options: tuple[tuple[str, str], ...] = ()

    @classmethod
    def read(cls, text: str) -> Self:
        """Raises ValueError for a URL that is none of the forms above."""
        scheme, _, rest = text.partition("://")
        driver, plus, kind = scheme.partition("+")
        if plus and driver in ("redis", "rediss") and kind:
            return cls._of_many(driver, Kind(kind), rest)
        url = urlsplit(text)
        # A port that is no number raises by itself.
        if scheme not in ("redis", "rediss", "unix") or url.port == 0 or "," in url.netloc:
            raise ValueError(text)
        if not (url.hostname or url.path):
            raise ValueError(text)
        return cls(Kind.SERVER, text)

    @classmethod
    def _of_many(cls, driver: str, kind: Kind, rest: str) -> Self:
        url = urlsplit(f"//{rest}")
        login, at, hosts = url.netloc.rpartition("@")
        addresses = tuple(_address(host, _PORTS[kind]) for host in hosts.split(","))
        name = url.path.strip("/")
        # A cluster has one database, numbered 0, and a name is one word.
        if url.fragment or (name not in ("", "0") if kind is Kind.CLUSTER else not name):
            raise ValueError(rest)
        if "/" in name or "@" in login:
            raise ValueError(rest)
        options = parse_qsl(url.query)
        theirs = tuple(each for each in options if each[0] in SENTINEL_OPTIONS)
        if theirs and kind is not Kind.SENTINEL:
            raise ValueError(rest)
        query = urlencode([each for each in options if each not in theirs])
        host, port = addresses[0]
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        server = f"{driver}://{login}{at}{place}" + (f"?{query}" if query else "")
        return cls(kind, server, addresses, name if kind is Kind.SENTINEL else "", theirs)


def _address(text: str, port: int) -> Address:
    host = urlsplit(f"//{text}")
    if not host.hostname or host.port == 0 or host.netloc != text or host.username is not None:
        raise ValueError(text)
    return host.hostname, host.port or port
