"""What the rows of AccountService have in common: who may ask, and how an RPC becomes a row of the edge's table."""

from collections.abc import Awaitable, Callable
from typing import Any

from google.protobuf.message import Message

from talktime_server.rpc.shapes import (
    ADMIN_BODY_BYTES,
    ADMIN_TIMEOUT_S,
    Identity,
    Lane,
    Method,
    Role,
)

SERVICE = "/talktime.v1.AccountService/"
OPERATORS = frozenset({Role.OPERATOR})
WRITERS = frozenset({Role.OPERATOR, Role.ADMIN})
READERS = frozenset({Role.OPERATOR, Role.ADMIN, Role.AUDITOR})


def account_method(
    name: str,
    request: type[Message],
    roles: frozenset[Role],
    answer: Callable[[Any, Identity], Awaitable[Message]],
) -> Method:
    """The row of one RPC; those that only look have names that begin with Get, List or Check."""

    def timed(request: Any, identity: Identity, _: float) -> Awaitable[Message]:
        return answer(request, identity)

    writes = not name.startswith(("Get", "List", "Check"))
    return Method(
        SERVICE + name,
        request,
        roles,
        timed,
        ADMIN_BODY_BYTES,
        Lane.ORDINARY,
        writes=writes,
        timeout_s=ADMIN_TIMEOUT_S,
    )
