"""One server of the store: scripts over the connection that all share, everything else by the driver.

The driver never repeats anything: its default of ten tries would apply a movement of money ten
times over. It knows where the server is: at an address, or where the Sentinels say that the primary
is now, who are asked at each connect.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import (
    AbstractConnection,
    RedisSSLContext,
    SSLConnection,
    parse_url,
)
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from talktime_server.failure import StoreAway
from talktime_server.ledger.connection import Connection, Refused, away, in_time, packed
from talktime_server.ledger.store_url import Address, StoreUrl

CONNECTIONS = 16
CONNECT_S = 2.0  # for TLS, name and password on a busy machine: more than an answer may take
SENTINEL_CONNECT_S = 0.5  # before the next one is asked

Ask = Sequence[Any]  # a command and its arguments


class Pool(BlockingConnectionPool):
    """As the driver's own, but nobody waits longer for a connection than for an answer."""

    def __init__(self, *, timeout: float, **options: Any) -> None:
        super().__init__(timeout=timeout, **options)
        self._patience_s = timeout
        self._making: dict[AbstractConnection, asyncio.Task[None]] = {}
        self._tls: RedisSSLContext | None = None

    def make_connection(self) -> AbstractConnection:
        """With one context for all: to make one takes tens of milliseconds, in which nobody is served."""
        connection: AbstractConnection = super().make_connection()  # type: ignore[no-untyped-call]  # redis-py leaves it bare
        if isinstance(connection, SSLConnection):
            self._tls = connection.ssl_context = self._tls or connection.ssl_context
        return connection

    async def ensure_connection(self, connection: AbstractConnection) -> None:
        """Makes one, or joins those who do."""
        if connection not in self._making:
            making = asyncio.create_task(self._make(connection))
            self._making[connection] = making
            making.add_done_callback(partial(self._made, connection))
        await in_time(self._making[connection], self._patience_s)

    async def _make(self, connection: AbstractConnection) -> None:
        connection.socket_timeout = CONNECT_S  # for the answers to name and password
        try:
            await super().ensure_connection(connection)
        finally:
            connection.socket_timeout = self._patience_s

    def _made(self, connection: AbstractConnection, making: asyncio.Task[None]) -> None:
        del self._making[connection]
        if not making.cancelled():
            making.exception()  # who waits has heard of it

    async def aclose(self) -> None:
        """Hangs up."""
        for making in (tasks := list(self._making.values())):
            making.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await super().aclose()


def pool_at(url: StoreUrl, timeout_s: float, address: Address | None = None) -> Pool:
    """The driver's connections to the server of this URL, or with its options to another."""
    options = _options(url.server, timeout_s)
    if address:
        options["host"], options["port"] = address
    return Pool(max_connections=CONNECTIONS, timeout=timeout_s, **options)


def pool_by_sentinels(url: StoreUrl, timeout_s: float) -> Pool:
    """The driver's connections to whatever server the Sentinels say is the primary."""
    options = _options(url.server, timeout_s)
    del options["host"], options["port"]
    secure = issubclass(options.pop("connection_class", object), SSLConnection)
    own = ("db", "username", "password")
    theirs = {name: value for name, value in options.items() if name not in own}
    theirs["socket_connect_timeout"] = max(timeout_s, SENTINEL_CONNECT_S)
    theirs |= {name.removeprefix("sentinel_"): value for name, value in url.sentinel_options}
    sentinel = Sentinel(url.addresses, sentinel_kwargs={**theirs, "ssl": secure})  # type: ignore[no-untyped-call]  # redis-py leaves it bare
    return _PrimaryPool(  # type: ignore[no-untyped-call]  # redis-py leaves it bare
        url.name,
        sentinel,
        max_connections=CONNECTIONS,
        timeout=timeout_s,
        ssl=secure,
        **options,
    )


def _options(url: str, timeout_s: float) -> dict[str, Any]:
    return {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": max(timeout_s, CONNECT_S),
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        **parse_url(url),
    }


class _PrimaryPool(SentinelConnectionPool, Pool):
    """As the driver's own for Sentinels, which refuses where this one waits for a free connection."""

    async def aclose(self) -> None:
        await super().aclose()
        await self.sentinel_manager.aclose()


class Server:
    """What a server is asked ends with its answer, with Refused, or with StoreAway."""

    def __init__(self, pool: Pool, *, timeout_s: float) -> None:
        self._pool = pool
        self._redis: Redis = Redis(connection_pool=pool)
        self._scripts = Connection(self._connect, timeout_s=timeout_s)

    async def _connect(self) -> AbstractConnection:
        connection = self._pool.make_connection()
        connection.socket_timeout = CONNECT_S
        await connection.connect()  # type: ignore[no-untyped-call]  # redis-py leaves it bare
        return connection

    async def close(self) -> None:
        """Hangs up."""
        await self._scripts.close()
        await self._redis.aclose()
        await self._pool.aclose()

    async def evaluate(self, text: bytes, ask: bytes, _key: str) -> list[Any]:
        """Runs a script once, by its hash; loads its text first where the server does not know it, which
        is the one thing worth a second try.
        """
        try:
            return list(await self._scripts.ask(ask))
        except Refused as error:
            self._renew_demoted(error)
            if not str(error).startswith("NOSCRIPT"):
                raise
        await self._scripts.ask(packed("SCRIPT", "LOAD", text))
        return list(await self._scripts.ask(ask))

    async def evaluate_ahead(self, text: bytes, ask: bytes) -> list[Any]:
        """The same where the keys are just moving to."""
        try:
            return list(await self._scripts.ask_ahead(ask))
        except Refused as error:
            if not str(error).startswith("NOSCRIPT"):
                raise
        await self._scripts.ask(packed("SCRIPT", "LOAD", text))
        return list(await self._scripts.ask_ahead(ask))

    def _renew_demoted(self, error: Refused) -> None:
        """A primary that became a replica keeps its connections: the next must find the new primary."""
        if str(error).startswith("READONLY"):
            self._scripts.renew()

    async def command(self, *ask: Any) -> Any:
        """Runs one command that may safely be lost or repeated."""
        with _driver_failures(), _heard_cancellation():
            return await self._redis.execute_command(*ask)  # type: ignore[no-untyped-call]  # redis-py leaves it bare

    async def command_ahead(self, *ask: Any) -> Any:
        """The same where the key is just moving to."""
        _, answer = await self._trip([("ASKING",), ask])
        if isinstance(answer, Refused):
            raise answer
        return answer

    async def commands(self, asks: Sequence[Ask]) -> list[Any]:
        """Runs several such commands in one trip; in place of the answer may be Refused or StoreAway."""
        try:
            return await self._trip(asks)
        except StoreAway as failure:
            return [failure] * len(asks)

    async def _trip(self, asks: Sequence[Ask]) -> list[Any]:
        pipeline = self._redis.pipeline(transaction=False)
        for ask in asks:
            pipeline.execute_command(*ask)
        with _driver_failures(), _heard_cancellation():
            answers = await pipeline.execute(raise_on_error=False)
        return [_refused(each) if isinstance(each, RedisError) else each for each in answers]

    async def reach(self) -> None:
        """Connects, in both ways."""
        both = (self.command("PING"), self._scripts.ask(packed("PING")))
        for answer in await asyncio.gather(*both, return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer

    async def everywhere(self, *ask: Any) -> list[Any]:
        """The answer of every primary."""
        return [await self.command(*ask)]

    def shards(self) -> list[int]:
        """A shard of every primary."""
        return [0]


@contextmanager
def _driver_failures() -> Iterator[None]:
    try:
        yield
    except ResponseError as error:
        raise _refused(error) from error
    except (RedisError, OSError) as error:
        raise away("the store cannot be reached") from error


def _refused(error: RedisError) -> Refused:
    """What the store said: where the driver knows the first word, it keeps that apart."""
    return Refused(f"{error.status_code} {error}" if error.status_code else str(error))


@contextmanager
def _heard_cancellation() -> Iterator[None]:
    """The driver sends within asyncio.wait_for, which on Python 3.11 loses a cancellation that comes
    just as it ends: whoever was told to stop would go on for ever.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    yield
    if task and task.cancelling() > before:
        raise asyncio.CancelledError
