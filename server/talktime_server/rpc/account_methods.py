"""What the rows of AccountService have in common: who may ask, and how an RPC becomes a row of the edge's table."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from google.protobuf.message import Message

from talktime_server.rpc.one_question import Answers, OneQuestion
from talktime_server.rpc.shapes import (
    ADMIN_BODY_BYTES,
    ADMIN_TIMEOUT_S,
    Identity,
    Lane,
    Method,
    Role,
    Stream,
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
    *,
    timeout_s: float = ADMIN_TIMEOUT_S,
) -> Method:
    """The row of one RPC; those that only look have names that begin with Get, List or Check.

    What takes longer than others may says so with `timeout_s`, as a report that the archive adds up.
    """

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
        timeout_s=timeout_s,
    )


def foretold(method: Method, tell: Callable[[], None]) -> Method:
    """The same row; `tell` is told of each call before it is answered."""

    def answer(request: Any, identity: Identity, left_s: float) -> Awaitable[Message]:
        tell()
        return method.answer(request, identity, left_s)

    return replace(method, answer=answer)


def account_stream(
    name: str,
    request: type[Message],
    roles: frozenset[Role],
    serve: Answers,
) -> Stream:
    """The row of one RPC that answers one request with many messages: `serve` is an async generator.

    It runs as one task, which is cancelled when the caller goes, its deadline passes or the process
    drains; and it goes on only when the message before was taken. What it raises ends the stream.
    """
    question = OneQuestion(request, serve)
    return Stream(SERVICE + name, roles, question.serve, one_question=True)
