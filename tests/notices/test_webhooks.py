"""Webhooks to a real receiver: what arrives verifies elsewhere, and nothing goes where it may not."""

import ipaddress
import json
import time
from collections.abc import AsyncIterator, Sequence

import pytest
import pytest_asyncio
from standardwebhooks.webhooks import WebhookVerificationError

from notices.certificates import Certificate
from notices.receivers import Receiver, Taken, receiving
from talktime_server.notices.addresses import Resolve
from talktime_server.notices.outcome import TAKEN, Outcome
from talktime_server.notices.rendering import summary_of
from talktime_server.notices.settings import Post, new_secret
from talktime_server.notices.told import Told
from talktime_server.notices.webhooks import MOST_BODY_BYTES, Message, Poster, body_of, signed
from talktime_server.words import NoticeKind

BODY = b'{"type":"TEST","data":{"name":"\xec\xa0\x9c"}}'
MESSAGE = Message("d1", BODY)
METADATA = "169.254.169.254"  # where clouds tell their machines who they are
SECRET, OLD = new_secret(), new_secret()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest_asyncio.fixture
async def poster() -> AsyncIterator[Poster]:
    """One that may post to this machine."""
    poster = Poster(private=True, timeout_s=2)
    yield poster
    await poster.close()


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


def to(receiver: Receiver, *secrets: str, path: str = "/hook") -> Post:
    return Post(receiver.url(path), False, secrets or (SECRET,))


async def test_what_arrives_verifies_elsewhere(poster: Poster, receiver: Receiver) -> None:
    assert await poster.post(MESSAGE, to(receiver, path="/hook?a=b"), now_ms()) == TAKEN
    (taken,) = receiver.taken
    assert taken.verified(SECRET) == json.loads(BODY)
    assert taken.body == BODY
    assert taken.message_id == "msg_d1"
    assert taken.headers["content-type"] == "application/json"
    assert taken.headers["host"] == f"127.0.0.1:{receiver.port}"


async def test_during_rotation_both_secrets_verify(poster: Poster, receiver: Receiver) -> None:
    await poster.post(MESSAGE, to(receiver, SECRET, OLD), now_ms())
    (taken,) = receiver.taken
    assert taken.verified(SECRET) == taken.verified(OLD)
    with pytest.raises(WebhookVerificationError):
        taken.verified(new_secret())


@pytest.mark.parametrize("place", range(len(BODY)))
def test_a_changed_byte_does_not_verify(place: int) -> None:
    headers = signed(MESSAGE, Post("", False, (SECRET,)), now_ms())
    changed = bytearray(BODY)
    changed[place] ^= 1
    assert Taken("/", headers, BODY).verified(SECRET)
    with pytest.raises((WebhookVerificationError, UnicodeDecodeError)):
        Taken("/", headers, bytes(changed)).verified(SECRET)


def test_the_published_vector() -> None:
    """The example of the specification's own libraries."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    message = Message("p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}')
    headers = signed(message, Post("", False, (secret,)), 1_614_265_330_000)
    assert headers["webhook-id"] == "msg_p5jXN8AQM9LWM0D4loKWxJek"
    assert headers["webhook-timestamp"] == "1614265330"
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


STATUSES = [
    (200, TAKEN),
    (204, TAKEN),
    (299, TAKEN),
    (301, Outcome("HTTP 301")),
    (307, Outcome("HTTP 307")),
    (400, Outcome("HTTP 400")),
    (404, Outcome("HTTP 404")),
    (410, Outcome("HTTP 410", final=True, gone=True)),
    (429, Outcome("HTTP 429")),
    (500, Outcome("HTTP 500")),
]


@pytest.mark.parametrize(("status", "outcome"), STATUSES)
async def test_what_a_status_means(
    poster: Poster, receiver: Receiver, status: int, outcome: Outcome
) -> None:
    receiver.status = status
    receiver.location = receiver.url("/elsewhere")
    assert await poster.post(MESSAGE, to(receiver), now_ms()) == outcome
    assert [taken.path for taken in receiver.taken] == ["/hook"]


async def test_who_does_not_answer_is_given_up_in_time(receiver: Receiver) -> None:
    receiver.slow_paths.add("/slow")
    poster = Poster(private=True, timeout_s=0.2)
    outcome = await poster.post(MESSAGE, to(receiver, path="/slow"), now_ms())
    assert outcome == Outcome("no answer in time")
    await poster.close()


async def test_a_host_that_does_not_listen_is_no_connection(poster: Poster) -> None:
    gone = Post("http://127.0.0.1:1/hook", False, (SECRET,))
    assert await poster.post(MESSAGE, gone, now_ms()) == Outcome("no connection")


def leading(*rounds: Sequence[str]) -> Resolve:
    """A name that leads elsewhere each time it is asked for."""
    answers = iter(rounds)

    async def resolve(host: str, port: int) -> Sequence[str]:
        return next(answers)

    return resolve


@pytest.mark.parametrize(
    "found", [["127.0.0.1"], ["::ffff:127.0.0.1"], ["10.0.0.1"], ["8.8.8.8", METADATA]]
)
async def test_a_name_that_leads_home_is_not_connected_to(
    receiver: Receiver, certificate: Certificate, found: list[str]
) -> None:
    """Whatever it led to when it was put: that is looked at again, and asked for once (DNS rebinding)."""
    poster = Poster(resolve=leading(found), authority=str(certificate.path))
    post = Post(f"https://hooks.example.com:{receiver.port}/hook", False, (SECRET,))
    assert await poster.post(MESSAGE, post, now_ms()) == Outcome("the address is not public")
    assert receiver.taken == []
    await poster.close()


async def test_a_redirect_home_is_not_followed(receiver: Receiver) -> None:
    receiver.status, receiver.location = 302, f"http://{METADATA}/latest/meta-data"
    poster = Poster(private=True)
    assert await poster.post(MESSAGE, to(receiver), now_ms()) == Outcome("HTTP 302")
    assert len(receiver.taken) == 1
    await poster.close()


async def test_http_and_private_hosts_need_the_operators_word(receiver: Receiver) -> None:
    poster = Poster()
    for url in (receiver.url(), "https://127.0.0.1/", "https://localhost/", "https://[::1]/"):
        outcome = await poster.post(MESSAGE, Post(url, False, (SECRET,)), now_ms())
        assert outcome == Outcome("the address is not public")
    assert receiver.taken == []
    await poster.close()


async def test_the_address_is_pinned_and_the_name_still_checked(certificate: Certificate) -> None:
    async with receiving(certificate) as receiver:
        rounds = [["127.0.0.1"]] * 2
        poster = Poster(private=True, resolve=leading(*rounds), authority=str(certificate.path))
        good = Post(receiver.url(host="hooks.example.com"), False, (SECRET,))
        assert await poster.post(MESSAGE, good, now_ms()) == TAKEN
        assert receiver.taken[0].headers["host"] == f"hooks.example.com:{receiver.port}"
        other = Post(receiver.url(host="other.example.com"), False, (SECRET,))
        outcome = await poster.post(MESSAGE, other, now_ms())
        assert outcome == Outcome("the certificate or the encryption is not good")
        assert len(receiver.taken) == 1
        await poster.close()


async def test_a_certificate_that_nobody_vouches_for(certificate: Certificate) -> None:
    async with receiving(certificate) as receiver:
        poster = Poster(private=True)
        outcome = await poster.post(MESSAGE, to(receiver), now_ms())
        assert outcome == Outcome("the certificate or the encryption is not good")
        await poster.close()


async def test_of_several_addresses_one_that_answers_is_enough(receiver: Receiver) -> None:
    dead = str(ipaddress.ip_address("127.0.0.1") + 255)
    poster = Poster(private=True, resolve=leading([dead, "127.0.0.1"]))
    assert await poster.post(MESSAGE, to(receiver), now_ms()) == TAKEN
    await poster.close()


def test_the_body_is_thin_and_says_what_happened() -> None:
    parameters: dict[str, str | int | bool] = {
        "currency": "USD",
        "tenant_name": "名" * 128,
        "amount_micros": 5_000_000,
        "balance_micros": 0,
        "funding_id": "f" * 64,
        "reason": "\U0001f4b8" * 256,
        "chargeback": True,
    }
    told = Told("ab" * 16, "contoso", 1_795_283_639_123, parameters)
    kind = NoticeKind.FUNDS_TAKEN_BACK
    body = body_of(kind, told, summary_of(kind, told))
    assert len(body) <= MOST_BODY_BYTES
    content = json.loads(body)
    assert content["type"] == "FUNDS_TAKEN_BACK"
    assert content["timestamp"] == "2026-11-21T17:53:59.123000+00:00"
    assert content["data"]["tenant_id"] == "contoso"
    assert content["data"]["amount_micros"] == 5_000_000
    assert content["data"]["summary"].startswith("A chargeback of $5.00")
