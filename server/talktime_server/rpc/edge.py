"""The edge: what is the same for every call on every engine. Identity, limits, decoding, errors."""

from collections.abc import AsyncIterator

from ..failure import Failure
from .shapes import (
    EVERY_ROLE,
    Identity,
    Incoming,
    Lane,
    Method,
    Reply,
    Role,
    Stream,
    Visit,
)

__all__ = [
    "EVERY_ROLE",
    "Edge",
    "Identity",
    "Incoming",
    "Lane",
    "Method",
    "Reply",
    "Role",
    "Stream",
    "Visit",
]


class Edge:
    """Takes calls from an engine, lets in what may pass, and answers every one of them."""

    def streaming(self, path: str) -> bool:
        """Whether this path is a stream: then the engine calls `exchange`, else `unary`."""
        raise NotImplementedError

    async def unary(self, call: Incoming) -> Reply:
        """Answers one call; never raises but CancelledError."""
        raise NotImplementedError

    def exchange(self, call: Incoming, messages: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Answers any stream (Exchange, health Watch, reflection); raises only Failure, to end with its status."""
        raise NotImplementedError

    def reply_of(self, failure: Failure) -> Reply:
        """The status that a stream which raised `failure` ends with."""
        raise NotImplementedError

    def drain(self) -> None:
        """Asks every open stream to answer what it has read and to end with UNAVAILABLE (DRAINING)."""
        raise NotImplementedError
