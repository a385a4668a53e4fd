"""The archive of AccountService: how far it is, and what is wrong with it. For operators, as it is about all tenants."""

from google.protobuf.message import Message

from talktime.v1 import account_service_pb2 as pb
from talktime_server.archive.database import Database
from talktime_server.archive.state import status_of
from talktime_server.ledger.store import Store
from talktime_server.rpc.account_methods import OPERATORS, account_method
from talktime_server.rpc.messages import instant
from talktime_server.rpc.shapes import REPORT_TIMEOUT_S, Identity, Method


class Archives:
    """The handler."""

    def __init__(self, database: Database, store: Store) -> None:
        self._database = database
        self._store = store

    def methods(self) -> list[Method]:
        """The row for the edge's table."""
        row = account_method(
            "GetArchiveStatus",
            pb.GetArchiveStatusRequest,
            OPERATORS,
            self._status,
            timeout_s=REPORT_TIMEOUT_S,
        )
        return [row]

    async def _status(self, _request: pb.GetArchiveStatusRequest, _identity: Identity) -> Message:
        status = await status_of(self._database, self._store)
        return pb.GetArchiveStatusResponse(
            entries=status.entries,
            waiting=status.waiting,
            lag_ms=status.lag_ms,
            alarms=status.alarms,
            archive_time=instant(status.archived_ms) if status.archived_ms else None,
        )
