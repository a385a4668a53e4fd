"""Whom the demo's service deals with beside its callers: a payment provider, and a tenant's desk that notices are posted to."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from talktime_server.payments.listening import listening
from talktime_server.payments.sandbox import Sandbox


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Where they are, and what the desk was told: the kinds of its notices, as they came."""

    provider_url: str
    token_file: Path
    desk_url: str
    posted: list[str] = field(default_factory=list)


@asynccontextmanager
async def neighbours(folder: Path) -> AsyncIterator[Neighbours]:
    """Both on loopback, in this process; the provider's token is kept in the folder, for the service's eyes alone."""
    posted: list[str] = []

    async def take(request: Request) -> Response:
        posted.append(str(json.loads(await request.body())["type"]))
        return Response(status_code=204)

    desk = Starlette(routes=[Route("/notices", take, methods=["POST"])])
    async with Sandbox() as sandbox, listening(desk, log_level="critical") as port:
        token_file = folder / "provider-token"
        token_file.touch(mode=0o600)
        token_file.write_text(sandbox.settings.billing_token)
        yield Neighbours(sandbox.url, token_file, f"http://127.0.0.1:{port}/notices", posted)
