"""Where webhooks may go: public addresses over https, whatever the address is dressed up as (reliability.md B81)."""

from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from talktime_server.notices.addresses import (
    Place,
    Refused,
    Resolve,
    addresses_of,
    is_public,
    place_of,
)

PUBLIC = ["93.184.216.34", "8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"]
NOT_PUBLIC = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "100.100.100.200",
    "192.0.0.1",
    "198.18.0.1",
    "203.0.113.7",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::",
    "2001:0:1::1",
    "2001:db8::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_addresses_that_are_somebodys_own(address: str) -> None:
    assert not is_public(ip_address(address))
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(Refused) as refused:
        place_of(f"https://{host}/hook", private=False)
    assert refused.value.rule == "PRIVATE_ADDRESS"


BAD_URLS = [
    "http://hooks.example.com/",
    "ftp://hooks.example.com/",
    "hooks.example.com",
    "https:hooks.example.com",
    "//hooks.example.com/",
]
# What may not stand behind "https://".
BAD_PLACES = [
    "",
    "/path",
    "you@hooks.example.com/",
    "you:me@hooks.example.com/",
    "hooks.example.com@127.0.0.1/",
    "hooks.example.com/#there",
    "hooks.example.com:0/",
    "hooks.example.com:99999/",
    "hooks.example.com:x/",
    "hooks.exämple.com/",
    "hooks.example.com/a b",
    "hooks.example.com/\r\nHost: 127.0.0.1",
    "hooks.example.com\\@127.0.0.1/",
    "%31%32%37.0.0.1/",
    "2130706433/",
    "0x7f000001/",
    "0x7f.1/",
    "0177.0.0.1/",
    "127.1/",
    "127.0.0.1./",
    "1.2.3.4.5/",
    "localhost/",
    "LOCALHOST:8443/",
    "intranet/",
    "db.internal/",
    "printer.local./",
    "me.localhost/",
    "-bad-.example.com/",
    "a..example.com/",
    "[::1",
    "[fe80::1%25eth0]/",
    "hooks.example.com/" + "a" * 500,
]


@pytest.mark.parametrize("url", [*BAD_URLS, *(f"https://{place}" for place in BAD_PLACES)])
def test_urls_that_no_webhook_has(url: str) -> None:
    with pytest.raises(Refused) as refused:
        place_of(url, private=False)
    assert refused.value.rule in ("BAD_URL", "PRIVATE_ADDRESS", "TOO_LONG")


# What may stand behind it, and what that means.
GOOD_PLACES = [
    ("hooks.example.com", Place(True, "hooks.example.com", 443, "/")),
    ("Hooks.Example.com:8443/a?b=c", Place(True, "hooks.example.com", 8443, "/a?b=c")),
    ("93.184.216.34/x", Place(True, "93.184.216.34", 443, "/x")),
    ("[2606:4700::1111]:444/", Place(True, "2606:4700::1111", 444, "/")),
]


@pytest.mark.parametrize(("written", "place"), GOOD_PLACES, ids=[row[0] for row in GOOD_PLACES])
def test_urls_that_webhooks_have(written: str, place: Place) -> None:
    assert place_of(f"https://{written}", private=False) == place


def test_the_host_header_is_the_urls() -> None:
    authorities = [place.authority for _, place in GOOD_PLACES]
    assert authorities == [
        "hooks.example.com",
        "hooks.example.com:8443",
        "93.184.216.34",
        "[2606:4700::1111]:444",
    ]


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "box", "[::1]", "10.0.0.1"])
def test_the_operator_may_allow_the_own_network(host: str) -> None:
    for scheme in ("http", "https"):
        assert place_of(f"{scheme}://{host}/", private=True).target == "/"


PLACE = Place(True, "hooks.example.com", 443, "/")


def resolving(*found: str) -> Resolve:
    async def resolve(host: str, port: int) -> Sequence[str]:
        assert (host, port) == ("hooks.example.com", 443)
        return found

    return resolve


@pytest.mark.parametrize("address", NOT_PUBLIC)
async def test_a_name_that_leads_home_is_refused(address: str) -> None:
    for found in ([address], ["8.8.8.8", address], [address, "8.8.8.8"]):
        with pytest.raises(Refused):
            await addresses_of(PLACE, resolving(*found), private=False)


async def test_a_name_that_leads_out_is_taken() -> None:
    assert await addresses_of(PLACE, resolving("8.8.8.8"), private=False) == ["8.8.8.8"]
    assert await addresses_of(PLACE, resolving("127.0.0.1"), private=True) == ["127.0.0.1"]
    with pytest.raises(Refused):
        await addresses_of(PLACE, resolving("fe80::1%eth0"), private=False)
    with pytest.raises(OSError, match="no address"):
        await addresses_of(PLACE, resolving(), private=False)
