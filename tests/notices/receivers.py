"""Who notices are delivered to in the tests: a real HTTP receiver and a real SMTP server, both on the loopback."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

import uvicorn
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from standardwebhooks.webhooks import Webhook
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from notices.certificates import Certificate

WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Taken:
    """A message as it came in."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def message_id(self) -> str:
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> Any:
        """What it says, when an independent reading of the specification accepts its signature."""
        return Webhook(secret).verify(self.body, self.headers)


@dataclass(slots=True)
class Receiver:
    """Answers with `status`, or as `answer` says for a path; keeps what it was sent."""

    port: int = 0
    secure: bool = False
    status: int = 204
    location: str = ""
    slow_paths: set[str] = field(default_factory=set)
    taken: list[Taken] = field(default_factory=list)
    let_go: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, path: str = "/hook", host: str = "127.0.0.1") -> str:
        return f"http{'s' if self.secure else ''}://{host}:{self.port}{path}"

    async def answer(self, request: Request) -> Response:
        body = await request.body()
        self.taken.append(Taken(request.url.path, dict(request.headers), body))
        if request.url.path in self.slow_paths:
            await self.let_go.wait()
        headers = {"location": self.location} if self.location else {}
        return Response(status_code=self.status, headers=headers)


@contextlib.asynccontextmanager
async def receiving(certificate: Certificate | None = None) -> AsyncIterator[Receiver]:
    """A receiver while the block runs; with a certificate it speaks TLS."""
    receiver = Receiver(secure=certificate is not None)
    app = Starlette(routes=[Route("/{path:path}", receiver.answer, methods=["POST", "GET"])])
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=0,
        log_level="critical",
        lifespan="off",
        ssl_certfile=certificate.path if certificate else None,
        ssl_keyfile=certificate.key if certificate else None,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    receiver.port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        receiver.let_go.set()
        server.should_exit = True
        await serving


USER, PASSWORD = "talktime", "a password: of @ tests"


@dataclass(slots=True)
class Post:
    """A mail server: what it took, and what it answers to a recipient or a text instead of taking it."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    refusals: dict[str, str] = field(default_factory=dict)

    async def take_recipient(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refusals:
            return self.refusals[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def take_mail(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=default)
        self.mails.append(mail)
        self.recipients += envelope.rcpt_tos
        return "250 taken"

    # By these names the server calls them.
    handle_RCPT = take_recipient  # noqa: N815  the server's word
    handle_DATA = take_mail  # noqa: N815  the server's word


@contextlib.asynccontextmanager
async def taking_mails(certificate: Certificate, *, tls: bool = False) -> AsyncIterator[Post]:
    """A mail server while the block runs: TLS from the first byte, or STARTTLS before anything else."""
    post = Post()

    def login(*arguments: Any) -> AuthResult:
        given = arguments[-1]
        good = isinstance(given, LoginPassword) and (given.login, given.password) == (
            USER.encode(),
            PASSWORD.encode(),
        )
        return AuthResult(success=good, handled=False)

    talks: list[SMTP] = []

    def protocol() -> SMTP:
        talk = SMTP(
            post,
            hostname="localhost",
            tls_context=None if tls else certificate.context(),
            require_starttls=not tls,
            auth_required=not tls,
            auth_require_tls=not tls,
            authenticator=login,
        )
        talks.append(talk)
        return talk

    loop = asyncio.get_running_loop()
    context = certificate.context() if tls else None
    server = await loop.create_server(protocol, "127.0.0.1", 0, ssl=context)
    post.port = server.sockets[0].getsockname()[1]
    try:
        yield post
    finally:
        server.close()
        for talk in talks:
            if isinstance(talk.transport, asyncio.Transport):
                talk.transport.abort()
        await asyncio.sleep(0)
        await server.wait_closed()


async def until(true: Callable[[], bool], within_s: float = WAIT_S) -> None:
    """Waits until something is true."""
    async with asyncio.timeout(within_s):
        while not true():
            await asyncio.sleep(0.005)
