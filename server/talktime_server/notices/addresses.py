"""Which addresses a webhook may be posted to: public ones (reliability.md B81).

A URL is looked at when it is put, and the address behind its name again when a notice is posted:
who is posted to is the very address that was looked at, so a name that changes in between gains nothing.
"""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

MOST_URL_CHARS = 512
_PORTS = {"https": 443, "http": 80}
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.IGNORECASE)
# The last label of a name has a letter; what resolvers read as a number ("2130706433", "0x7f.1", "127.1") has none.
_NUMERIC = re.compile(r"(0x[0-9a-f]*|[0-9]+)", re.IGNORECASE)
_HERE = ("localhost", "local", "internal", "localdomain", "home", "lan")
_NAT64 = IPv6Network("64:ff9b::/96")
# IPv6 that stands for an IPv4 address or for a network of one's own, beside what the library calls private.
_UNROUTED = (
    IPv6Network("::/96"),
    IPv6Network("64:ff9b:1::/48"),
    IPv6Network("2001::/32"),
    IPv6Network("fec0::/10"),
)

Address = IPv4Address | IPv6Address
# The addresses of a host and port, as text; raises OSError when there are none.
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class Refused(Exception):
    """A URL that notices are not posted to; the rule is UPPER_SNAKE, the text says why and names none."""

    def __init__(self, text: str, rule: str = "BAD_URL") -> None:
        super().__init__(text)
        self.text = text
        self.rule = rule


def _not_public() -> Refused:
    return Refused("is or leads to an address that is not public", "PRIVATE_ADDRESS")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a URL goes: `host` as in the URL, `target` is path and query."""

    secure: bool
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """As the Host header has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = _PORTS["https" if self.secure else "http"]
        return host if self.port == usual else f"{host}:{self.port}"


def place_of(url: str, *, private: bool) -> Place:
    """Reads a webhook's URL; `private` allows http, and every host. Raises Refused."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise Refused("is not a URL") from None
    if len(url) > MOST_URL_CHARS:
        raise Refused(f"has more than {MOST_URL_CHARS} characters", "TOO_LONG")
    if not url.isascii() or not url.isprintable() or any(char in url for char in ' \\"<>^`{|}'):
        raise Refused("has characters that a URL does not have")
    if parts.scheme != "https" and not (private and parts.scheme == "http"):
        raise Refused("is not https")
    if "@" in parts.netloc or "#" in url or "%" in parts.netloc or port == 0:
        raise Refused("has a user, a fragment or a port that no webhook has")
    _check_host(host, private=private)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Place(parts.scheme == "https", host, port or _PORTS[parts.scheme], target)


async def addresses_of(place: Place, resolve: Resolve, *, private: bool) -> list[str]:
    """The addresses of a place, every one of which is public unless `private` ones are allowed. Raises
    Refused, and OSError when there are none.
    """
    found = [text.partition("%")[0] for text in await resolve(place.host, place.port)]
    if not found:
        raise OSError("no address")
    if not private and not all(is_public(ip_address(text)) for text in found):
        raise _not_public()
    return found


def is_public(address: Address) -> bool:
    """Whether an address is one of the public internet's, for one receiver; the IPv4 address within an
    IPv6 one counts.
    """
    if isinstance(address, IPv6Address):
        if within := _within(address):
            return is_public(within)
        if any(address in network for network in _UNROUTED):
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses that this machine's resolver gives."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(row[4][0]) for row in found))


def _within(address: IPv6Address) -> IPv4Address | None:
    if address.ipv4_mapped or address.sixtofour:
        return address.ipv4_mapped or address.sixtofour
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None


def _check_host(host: str, *, private: bool) -> None:
    try:
        address = ip_address(host)
    except ValueError:
        labels = host.removesuffix(".").split(".")
        if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
            raise Refused("names no host") from None
        if _NUMERIC.fullmatch(labels[-1]):
            raise Refused("has a number for a host") from None
        if not private and (len(labels) == 1 or labels[-1].lower() in _HERE):
            raise _not_public() from None
        return
    if not private and not is_public(address):
        raise _not_public()
