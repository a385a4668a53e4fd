"""The methods of AccountService about notices: every rule of the contract, who may ask, and what is answered."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from google.protobuf.message import Message

from notices.journal import AT_MS, Books
from stores import StoreProcess
from talktime.v1 import account_service_pb2 as pb
from talktime_server.archive.database import Database
from talktime_server.decision import catalog
from talktime_server.failure import Failure, Forbidden, Invalid, NotFound, TooMuch
from talktime_server.ledger.directory import Directory
from talktime_server.ledger.profiles import Tenant
from talktime_server.ledger.store import Store
from talktime_server.rpc.account_methods import SERVICE
from talktime_server.rpc.notices import Notices
from talktime_server.rpc.shapes import Identity, Role
from talktime_server.words import EntryKind

ADMIN = Identity("admin", Role.ADMIN, frozenset({"contoso"}))
OTHER = Identity("other", Role.ADMIN, frozenset({"fabrikam"}))
OPERATOR = Identity("operator", Role.OPERATOR, all_tenants=True)
PUBLIC, HOME = ["8.8.8.8"], ["10.0.0.1"]


async def names(host: str, port: int) -> Sequence[str]:
    """Names as the tests know them."""
    if host == "unknown.example.com":
        raise OSError
    return HOME if host == "home.example.com" else PUBLIC


@dataclass(slots=True)
class Desk:
    """The methods, and what is behind them."""

    database: Database
    methods: dict[str, Any]

    async def ask(self, request: Message, identity: Identity = ADMIN) -> Any:
        """What the method of a request answers."""
        name = type(request).__name__.removesuffix("Request")
        return await self.methods[name].answer(request, identity, 1.0)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def notices_store() -> AsyncIterator[StoreProcess]:
    process = StoreProcess()
    try:
        await process.start()
        yield process
    finally:
        process.stop()


@pytest_asyncio.fixture
async def desk(file: Database, notices_store: StoreProcess) -> AsyncIterator[Desk]:
    store = Store(notices_store.url, timeout_s=2.0)
    directory = Directory(store, catalog.counted_licenses)
    for tenant_id in ("contoso", "fabrikam"):
        await directory.put_tenant(Tenant(tenant_id, "USD", "US"))
    clock = iter(range(AT_MS, AT_MS + 10**9, 1000))
    served = Notices(file, directory, resolve=names, clock=lambda: next(clock))
    rows = {row.path.removeprefix(SERVICE): row for row in served.methods()}
    yield Desk(file, rows)
    await store.close()


def admin(**fields: Any) -> pb.Admin:
    good: dict[str, Any] = {"email": "ann@example.com", "roles": ["Billing Administrator"]}
    return pb.Admin(**(good | fields))


def put(*admins: pb.Admin, **fields: Any) -> pb.PutNoticeSettingsRequest:
    return pb.PutNoticeSettingsRequest(settings=pb.NoticeSettings(admins=admins, **fields))


def hooking(url: str = "https://hooks.example.com/a", **fields: Any) -> pb.PutWebhookRequest:
    return pb.PutWebhookRequest(webhook=pb.Webhook(**({"webhook_id": "h", "url": url} | fields)))


async def test_settings_come_back_with_their_defaults(desk: Desk) -> None:
    stored = (await desk.ask(put(admin(), low_balance_micros=[50_000_000]))).settings
    assert stored.admins[0].language == "en"
    assert stored.expiry_notice_days == 30
    shown = await desk.ask(pb.GetNoticeSettingsRequest())
    assert shown.settings == stored
    empty = await desk.ask(pb.GetNoticeSettingsRequest(), OTHER)
    assert empty.settings == pb.NoticeSettings(expiry_notice_days=30)


CARD = "4242 4242 4242 4242"
BAD_SETTINGS = [
    (put(*[admin(email=f"a{n}@example.com") for n in range(51)]), "admins", "TOO_MANY_ITEMS"),
    (put(admin(email="")), "admins[0].email", "MISSING_FIELD"),
    (put(admin(email="ann")), "admins[0].email", "BAD_EMAIL"),
    (put(admin(email="ann@example")), "admins[0].email", "BAD_EMAIL"),
    (put(admin(email="ann@exa mple.com")), "admins[0].email", "BAD_EMAIL"),
    (put(admin(email="ann@example.com\n")), "admins[0].email", "BAD_EMAIL"),
    (put(admin(email="änn@example.com")), "admins[0].email", "BAD_EMAIL"),
    (put(admin(email=".ann@example.com")), "admins[0].email", "BAD_EMAIL"),
    (put(admin(email="ann@-example.com")), "admins[0].email", "BAD_EMAIL"),
    (put(admin(email="a" * 65 + "@example.com")), "admins[0].email", "BAD_EMAIL"),
    (put(admin(email="a@" + "b" * 255 + ".com")), "admins[0].email", "TOO_LONG"),
    (put(admin(), admin(email="ANN@example.com")), "admins[1].email", "DUPLICATE"),
    (put(admin(display_name="x" * 129)), "admins[0].display_name", "TOO_LONG"),
    (put(admin(display_name="a\r\nBcc: b")), "admins[0].display_name", "BAD_CHARSET"),
    (put(admin(display_name=CARD)), "admins[0].display_name", "CARD_DATA_REFUSED"),
    (put(admin(email="4242424242424242@example.com")), "admins[0].email", "CARD_DATA_REFUSED"),
    (put(admin(roles=[])), "admins[0].roles", "MISSING_FIELD"),
    (put(admin(roles=["Billing Administrator"] * 17)), "admins[0].roles", "TOO_MANY_ITEMS"),
    (put(admin(roles=["Reports Reader"])), "admins[0].roles[0]", "UNKNOWN_ROLE"),
    (put(admin(language="fr")), "admins[0].language", "UNKNOWN_LANGUAGE"),
    (put(low_balance_micros=[1, 2, 3, 4, 5, 6]), "low_balance_micros", "TOO_MANY_ITEMS"),
    (put(low_balance_micros=[5, 0]), "low_balance_micros[1]", "OUT_OF_RANGE"),
    (put(low_balance_micros=[10**15 + 1]), "low_balance_micros[0]", "OUT_OF_RANGE"),
    (put(low_balance_micros=[5, 5]), "low_balance_micros[1]", "DUPLICATE"),
    (put(expiry_notice_days=-1), "expiry_notice_days", "OUT_OF_RANGE"),
    (put(expiry_notice_days=366), "expiry_notice_days", "OUT_OF_RANGE"),
]


@pytest.mark.parametrize(("request_", "field", "rule"), BAD_SETTINGS, ids=range(len(BAD_SETTINGS)))
async def test_bad_settings_name_their_field(
    desk: Desk, request_: pb.PutNoticeSettingsRequest, field: str, rule: str
) -> None:
    with pytest.raises(Invalid) as refused:
        await desk.ask(request_)
    found = [(each.field, each.rule) for each in refused.value.violations]
    assert (f"settings.{field}", rule) in found
    assert "4242" not in str(refused.value)
    assert "ann" not in str(refused.value)


async def test_every_field_is_named_at_once(desk: Desk) -> None:
    bad = put(admin(email="x", language="fr"), expiry_notice_days=400)
    with pytest.raises(Invalid) as refused:
        await desk.ask(bad)
    assert len(refused.value.violations) == 3
    with pytest.raises(Invalid, match="settings: is required"):
        await desk.ask(pb.PutNoticeSettingsRequest())


BAD_HOOKS = [
    (hooking(webhook_id=""), "webhook_id", "MISSING_FIELD"),
    (hooking(webhook_id="a b"), "webhook_id", "BAD_CHARSET"),
    (hooking(""), "url", "MISSING_FIELD"),
    (hooking("http://hooks.example.com/"), "url", "BAD_URL"),
    (hooking("https://" + "a" * 600 + ".example.com/"), "url", "TOO_LONG"),
    (hooking("https://127.0.0.1/"), "url", "PRIVATE_ADDRESS"),
    (hooking("https://[::ffff:10.0.0.1]/"), "url", "PRIVATE_ADDRESS"),
    (hooking("https://home.example.com/"), "url", "PRIVATE_ADDRESS"),
    (hooking(kinds=[0]), "kinds[0]", "MISSING_FIELD"),
    (hooking(kinds=[99]), "kinds[0]", "UNKNOWN_ENUM"),
    (hooking(kinds=[1] * 51), "kinds", "TOO_MANY_ITEMS"),
]


@pytest.mark.parametrize(("request_", "field", "rule"), BAD_HOOKS, ids=range(len(BAD_HOOKS)))
async def test_bad_webhooks_name_their_field(
    desk: Desk, request_: pb.PutWebhookRequest, field: str, rule: str
) -> None:
    with pytest.raises(Invalid) as refused:
        await desk.ask(request_)
    assert (f"webhook.{field}", rule) in [(v.field, v.rule) for v in refused.value.violations]


async def test_a_webhooks_secret_is_shown_when_it_is_made(desk: Desk) -> None:
    kinds = [pb.NOTICE_KIND_POOL_80, pb.NOTICE_KIND_POOL_80, pb.NOTICE_KIND_TEST]
    made = await desk.ask(hooking("https://unknown.example.com/", kinds=kinds))
    assert made.secret.startswith("whsec_")
    assert made.webhook.kinds == [pb.NOTICE_KIND_POOL_80, pb.NOTICE_KIND_TEST]
    again = await desk.ask(hooking(disabled=True))
    assert (again.secret, again.webhook.disabled) == ("", False)
    rotated = await desk.ask(pb.RotateWebhookSecretRequest(webhook_id="h"))
    assert rotated.secret.startswith("whsec_")
    assert rotated.secret != made.secret
    shown = await desk.ask(pb.GetNoticeSettingsRequest())
    assert [hook.webhook_id for hook in shown.webhooks] == ["h"]
    assert "whsec_" not in str(shown)
    for _ in range(2):
        await desk.ask(pb.DeleteWebhookRequest(webhook_id="h"))
    with pytest.raises(NotFound):
        await desk.ask(pb.RotateWebhookSecretRequest(webhook_id="h"))


async def test_the_eleventh_webhook_is_refused(desk: Desk) -> None:
    for number in range(10):
        await desk.ask(hooking(webhook_id=f"h{number}"))
    with pytest.raises(TooMuch) as refused:
        await desk.ask(hooking(webhook_id="h10"))
    assert refused.value.reason == "WEBHOOK_LIMIT"


async def test_notices_are_listed_newest_first_and_page_by_page(desk: Desk) -> None:
    await desk.ask(put(admin()))
    books = Books(desk.database)
    await books.archive(*[books.line(EntryKind.LIMIT, reference=f"user{n}") for n in range(5)])
    first = await desk.ask(pb.ListNoticesRequest(page_size=3))
    token = first.next_page_token
    second = await desk.ask(pb.ListNoticesRequest(page_size=3, page_token=token))
    assert second.next_page_token == ""
    found = [*first.notices, *second.notices]
    ends = [notice.summary.rsplit(" ", 1)[1] for notice in found]
    assert ends == ["user4.", "user3.", "user2.", "user1.", "user0."]
    (delivery,) = found[0].deliveries
    assert delivery.recipient == "ann@example.com"
    assert (delivery.mail, delivery.state) == (True, pb.DELIVERY_STATE_PENDING)
    assert delivery.HasField("next_time")
    for request in (
        pb.ListNoticesRequest(dead=True, page_token=token),
        pb.ListNoticesRequest(page_token="x"),
    ):
        with pytest.raises(Invalid):
            await desk.ask(request)
    assert list((await desk.ask(pb.ListNoticesRequest(dead=True))).notices) == []
    assert list((await desk.ask(pb.ListNoticesRequest(), OTHER)).notices) == []


async def test_a_test_reaches_everybody_once_in_a_minute(desk: Desk) -> None:
    await desk.ask(put(admin(), admin(email="bo@example.com", roles=["Helpdesk Administrator"])))
    await desk.ask(hooking())
    tested = (await desk.ask(pb.TestNoticeRequest())).notice
    assert [each.recipient for each in tested.deliveries] == [
        "ann@example.com",
        "bo@example.com",
        "h",
    ]
    assert (await desk.ask(pb.TestNoticeRequest())).notice == tested
    assert tested.kind == pb.NOTICE_KIND_TEST


async def test_replays_count_what_is_tried_again(desk: Desk) -> None:
    assert (await desk.ask(pb.ReplayNoticesRequest())).deliveries == 0
    with pytest.raises(NotFound):
        await desk.ask(pb.ReplayNoticesRequest(notice_id="ab" * 16))
    with pytest.raises(Invalid):
        await desk.ask(pb.ReplayNoticesRequest(notice_id="no such id"))


EVERY = [
    put(admin()),
    pb.GetNoticeSettingsRequest(),
    hooking(),
    pb.RotateWebhookSecretRequest(webhook_id="h"),
    pb.DeleteWebhookRequest(webhook_id="h"),
    pb.ListNoticesRequest(),
    pb.ReplayNoticesRequest(),
    pb.TestNoticeRequest(),
]


@pytest.mark.parametrize("asked", EVERY, ids=[type(each).__name__ for each in EVERY])
async def test_every_method_is_of_ones_own_tenant_and_one_there_is(
    desk: Desk, asked: Message
) -> None:
    for tenant_id, identity, failure in (
        ("contoso", OTHER, Forbidden),
        ("nobody", OPERATOR, NotFound),
        ("", OPERATOR, Invalid),
    ):
        request: Any = type(asked).FromString(asked.SerializeToString())
        request.tenant_id = tenant_id
        with pytest.raises(Failure) as refused:
            await desk.ask(request, identity)
        assert type(refused.value) is failure


def test_auditors_read_and_admins_write(desk: Desk) -> None:
    auditors = {name for name, row in desk.methods.items() if Role.AUDITOR in row.roles}
    assert auditors == {"GetNoticeSettings", "ListNotices"}
    assert all({Role.ADMIN, Role.OPERATOR} <= row.roles for row in desk.methods.values())
    assert not any(Role.ROUTER in row.roles for row in desk.methods.values())
    assert {name for name, row in desk.methods.items() if not row.writes} == auditors
