"""The notices of AccountService: whom they go to, what was told, and what became of it."""

from google.protobuf.message import Message

from talktime.v1 import account_service_pb2 as pb
from talktime_server.archive.clock import Clock, wall_clock_ms
from talktime_server.archive.database import Database
from talktime_server.ledger.directory import Directory
from talktime_server.notices.addresses import Resolve, resolve
from talktime_server.notices.targets import NOBODY
from talktime_server.rpc import pages
from talktime_server.rpc.account_methods import READERS, WRITERS, account_method
from talktime_server.rpc.decoding import Checks
from talktime_server.rpc.notice_checks import check_settings, check_webhook
from talktime_server.rpc.notice_messages import notice_message, settings_message, webhook_message
from talktime_server.rpc.shapes import Identity, Method


class Notices:
    """The handlers. `private` lets webhooks go to private addresses, where the operator wants that."""

    def __init__(
        self,
        database: Database,
        directory: Directory,
        *,
        private: bool = False,
        resolve: Resolve = resolve,
        clock: Clock = wall_clock_ms,
    ) -> None:
        self._database = database
        self._directory = directory
        self._private = private
        self._resolve = resolve
        self._clock = clock

    def methods(self) -> list[Method]:
        """The rows for the edge's table."""
        return [
            account_method(
                "PutNoticeSettings", pb.PutNoticeSettingsRequest, WRITERS, self._put_settings
            ),
            account_method(
                "GetNoticeSettings", pb.GetNoticeSettingsRequest, READERS, self._get_settings
            ),
            account_method("PutWebhook", pb.PutWebhookRequest, WRITERS, self._put_webhook),
            account_method(
                "RotateWebhookSecret", pb.RotateWebhookSecretRequest, WRITERS, self._rotate
            ),
            account_method("DeleteWebhook", pb.DeleteWebhookRequest, WRITERS, self._delete),
            account_method("ListNotices", pb.ListNoticesRequest, READERS, self._list),
            account_method("ReplayNotices", pb.ReplayNoticesRequest, WRITERS, self._replay),
            account_method("TestNotice", pb.TestNoticeRequest, WRITERS, self._test),
        ]

    async def _put_settings(
        self, request: pb.PutNoticeSettingsRequest, identity: Identity
    ) -> Message:
        checks = Checks()
        tenant_id = checks.tenant("tenant_id", request.tenant_id, identity)
        checks.present("settings", request.HasField("settings"))
        asked = check_settings(checks, request.settings)
        checks.done()
        tenant = await self._directory.fresh_tenant(tenant_id)
        async with self._database.begin() as connection:
            from talktime_server.notices import settings

            await settings.put_settings(connection, tenant_id, tenant.currency, asked)
        return pb.PutNoticeSettingsResponse(settings=settings_message(asked))

    async def _get_settings(
        self, request: pb.GetNoticeSettingsRequest, identity: Identity
    ) -> Message:
        tenant_id = await self._tenant_id(request, identity)
        async with self._database.connect() as connection:
            from talktime_server.notices import settings

            found = await settings.read(connection, [tenant_id])
        targets = found.get(tenant_id, NOBODY)
        return pb.GetNoticeSettingsResponse(
            settings=settings_message(targets.settings),
            webhooks=[webhook_message(webhook) for webhook in targets.webhooks],
        )

    async def _put_webhook(self, request: pb.PutWebhookRequest, identity: Identity) -> Message:
        checks = Checks()
        tenant_id = checks.tenant("tenant_id", request.tenant_id, identity)
        checks.present("webhook", request.HasField("webhook"))
        checks.done()
        asked = await check_webhook(checks, request.webhook, self._resolve, private=self._private)
        checks.done()
        tenant = await self._directory.fresh_tenant(tenant_id)
        async with self._database.begin() as connection:
            from talktime_server.notices import settings

            secret = await settings.put_webhook(
                connection, tenant_id, tenant.currency, asked, self._clock()
            )
        return pb.PutWebhookResponse(webhook=webhook_message(asked), secret=secret)

    async def _rotate(self, request: pb.RotateWebhookSecretRequest, identity: Identity) -> Message:
        tenant_id = await self._webhook_of(request, identity)
        async with self._database.begin() as connection:
            from talktime_server.notices import settings

            secret = await settings.rotate_secret(
                connection, tenant_id, request.webhook_id, self._clock()
            )
        return pb.RotateWebhookSecretResponse(secret=secret)

    async def _delete(self, request: pb.DeleteWebhookRequest, identity: Identity) -> Message:
        tenant_id = await self._webhook_of(request, identity)
        async with self._database.begin() as connection:
            from talktime_server.notices import settings

            await settings.delete_webhook(connection, tenant_id, request.webhook_id)
        return pb.DeleteWebhookResponse()

    async def _list(self, request: pb.ListNoticesRequest, identity: Identity) -> Message:
        checks = Checks()
        tenant_id = checks.tenant("tenant_id", request.tenant_id, identity)
        count = checks.page_size("page_size", request.page_size)
        checks.done()
        await self._directory.fresh_tenant(tenant_id)
        key = await self._directory.page_key()
        # The two listings have places of their own.
        method = "ListNotices dead" if request.dead else "ListNotices"
        after = pages.read(key, tenant_id, method, request.page_token) if request.page_token else ""
        async with self._database.connect() as connection:
            from talktime_server.notices import record

            found = await record.page(connection, tenant_id, after, count, dead=request.dead)
        full = len(found) == count
        return pb.ListNoticesResponse(
            notices=[notice_message(notice) for notice in found],
            next_page_token=pages.make(key, tenant_id, method, found[-1].position) if full else "",
        )

    async def _replay(self, request: pb.ReplayNoticesRequest, identity: Identity) -> Message:
        checks = Checks()
        tenant_id = checks.tenant("tenant_id", request.tenant_id, identity)
        checks.id("notice_id", request.notice_id, required=False)
        checks.done()
        await self._directory.fresh_tenant(tenant_id)
        async with self._database.begin() as connection:
            from talktime_server.notices import record

            count = await record.replay(connection, tenant_id, request.notice_id, self._clock())
        return pb.ReplayNoticesResponse(deliveries=count)

    async def _test(self, request: pb.TestNoticeRequest, identity: Identity) -> Message:
        tenant_id = await self._tenant_id(request, identity)
        async with self._database.begin() as connection:
            from talktime_server.notices import record

            told = await record.send_test(connection, tenant_id, self._clock())
        return pb.TestNoticeResponse(notice=notice_message(told))

    async def _tenant_id(
        self, request: pb.GetNoticeSettingsRequest | pb.TestNoticeRequest, identity: Identity
    ) -> str:
        """The tenant of a request that names nothing else. Raises NotFound for one that is not there."""
        checks = Checks()
        tenant_id = checks.tenant("tenant_id", request.tenant_id, identity)
        checks.done()
        await self._directory.fresh_tenant(tenant_id)
        return tenant_id

    async def _webhook_of(
        self, request: pb.RotateWebhookSecretRequest | pb.DeleteWebhookRequest, identity: Identity
    ) -> str:
        """The tenant of a request about a webhook."""
        checks = Checks()
        tenant_id = checks.tenant("tenant_id", request.tenant_id, identity)
        checks.id("webhook_id", request.webhook_id)
        checks.done()
        await self._directory.fresh_tenant(tenant_id)
        return tenant_id
