"""`talktime archive`: what happened, kept in SQL. `verify` and `rebuild` work on the database and the store themselves, without
a service: they are for the days on which there is none.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from talktime_server.commands.exits import Exit, Stop, sentence, typed
from talktime_server.commands.output import (
    Output,
    Progress,
    counted,
    facts,
    line,
    progress,
    table,
)
from talktime_server.commands.session import Json, ending

if TYPE_CHECKING:
    from talktime_server.archive.database import Database
    from talktime_server.archive.rebuild import Restored
    from talktime_server.archive.verify import Head, Verification
    from talktime_server.config import Settings
    from talktime_server.ledger.store import Store

group = typer.Typer(no_args_is_help=True)

_ROWS_SHOWN = 50
_STORE_TIMEOUT_S = 10.0  # it is nobody's turn but ours


@group.command("verify")
def verify(
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What an earlier run gave with --json: finds an archive that was written anew as a whole.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Walks the chain of every tenant's lines, adds up again what follows from them, and names every line that was edited, deleted,
    put in or moved. Exits 1 if there is any. The service may run meanwhile.

    Example: talktime archive verify

    Example: talktime archive verify --json > heads.json; later: talktime archive verify --against heads.json
    """
    output = Output(as_json=as_json)
    with ending(output), _failures():
        heads = _heads(against) if against else ()
        with progress(output, "Verifying lines") as tell:
            found = asyncio.run(_verify(_settings(), heads, tell))
        _show_verified(output, found)
        if not found.sound:
            raise typer.Exit(int(Exit.FAILED))


@group.command("rebuild")
def rebuild(as_json: Json = False) -> None:
    """Restores an EMPTY store from the archive: money, lots, minutes, open calls, profiles, recharges, the record of blocks; then
    compares every tenant with the archive. Stop the service first. A run that is cut off is run again.

    The embedded store is the folder `store` in the state folder: move it away, and there is an empty one.
    Rate decks are not in the archive: put them again with `talktime rates import` before calls are priced.
    What was written after the archive's last line is lost.

    Example: talktime archive verify && talktime archive rebuild
    """
    output = Output(as_json=as_json)
    with ending(output), _failures():
        with progress(output, "Restoring and comparing tenants") as tell:
            restored = asyncio.run(_rebuild(_settings(), tell))
        _show_restored(output, restored)
        if not restored.proven:
            raise typer.Exit(int(Exit.FAILED))


async def _verify(settings: "Settings", heads: "Sequence[Head]", tell: Progress) -> "Verification":
    from talktime_server.archive import verify as verifying

    async with _archive(settings) as database:
        return await verifying.verify(database, tell, against=heads)


async def _rebuild(settings: "Settings", tell: Progress) -> "Restored":
    from talktime_server.archive import rebuild as rebuilding

    async with _archive(settings) as database, _store(settings) as store:
        return await rebuilding.rebuild(database, store, tell)


@asynccontextmanager
async def _archive(settings: "Settings") -> "AsyncIterator[Database]":
    from talktime_server.archive.database import Database

    database = Database(settings.archive)
    if database.missing:
        raise Stop(
            Exit.NOT_FOUND,
            "There is no archive where the settings say: set TALKTIME_ARCHIVE_URL or TALKTIME_STATE_DIR.",
            reason="NO_ARCHIVE",
        )
    try:
        await database.open()
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def _store(settings: "Settings") -> "AsyncIterator[Store]":
    """The store of the settings; the embedded one is started for this alone."""
    from talktime_server.embedded import EmbeddedStore
    from talktime_server.state_folder import StateFolder

    if settings.store_url:
        async with _connected(settings.store_url) as store:
            yield store
        return
    with StateFolder(settings.state_dir) as folder:
        socket, fsync = folder.run / "store", settings.store_fsync
        embedded = EmbeddedStore(folder.store, socket, fsync, folder.lock_fd)
        await embedded.start()
        try:
            async with _connected(embedded.url) as store:
                yield store
        finally:
            await embedded.stop()


@asynccontextmanager
async def _connected(url: str) -> "AsyncIterator[Store]":
    from talktime_server.ledger.store import Store

    store = Store(url, timeout_s=_STORE_TIMEOUT_S)
    try:
        yield store
    finally:
        await store.close()


@contextmanager
def _failures() -> Iterator[None]:
    """How these commands end when the database, the store or the state folder cannot be used."""
    from talktime_server.control import StartRefused
    from talktime_server.failure import ArchiveAway, Conflict, Failure, StoreAway, Unsafe

    try:
        yield
    except ArchiveAway as failure:
        text = "The archive cannot be reached: start it, or set TALKTIME_ARCHIVE_URL right."
        raise Stop(Exit.UNREACHABLE, text, reason=failure.reason) from None
    except StoreAway as failure:
        raise Stop(Exit.UNREACHABLE, sentence(failure), reason=failure.reason) from None
    except Conflict as failure:
        raise Stop(Exit.CONFLICT, sentence(failure), reason=failure.reason) from None
    except Failure as failure:
        raise Stop(Exit.FAILED, sentence(failure), reason=failure.reason) from None
    except (StartRefused, Unsafe) as refused:
        raise Stop(Exit.FAILED, sentence(refused)) from None


def _settings() -> "Settings":
    from talktime_server import logs
    from talktime_server.config import BadSetting, LogLevel, Settings

    # What is away is told in the answer; a line of a log on standard output would spoil a document there.
    logs.configure(LogLevel.ERROR)
    try:
        return Settings.read(os.environ)
    except BadSetting as bad:
        raise Stop(Exit.USAGE, sentence(bad), reason="BAD_SETTING") from None


def _heads(path: Path) -> "list[Head]":
    from talktime_server.archive.verify import Head

    try:
        document = json.loads(path.read_bytes())
        return [Head(**head) for head in document["heads"]]
    except OSError as error:
        raise Stop(Exit.USAGE, f"{path}: cannot be read ({error.strerror}).") from None
    except (ValueError, KeyError, TypeError):
        text = f"{path}: is not what {typed('archive verify --json')} gives."
        raise Stop(Exit.USAGE, text) from None


def _show_verified(output: Output, found: "Verification") -> None:
    document = {
        "sound": found.sound,
        "entries": found.entries,
        "tenants": found.tenants,
        "wrong": found.wrong,
        "heads": found.heads,
    }
    looked_at = f"{counted(found.entries, 'line', 'lines')} of {counted(found.tenants, 'tenant', 'tenants')}"
    if found.sound:
        output.show(document, line(f"✓ {looked_at}: nothing was changed.", "green"))
        return
    rows = [(wrong.tenant_id, wrong.version or "", wrong.text) for wrong in found.wrong]
    output.show(
        document,
        table("", ("Tenant", ">Line", "Found"), rows[:_ROWS_SHOWN]),
        line(f"✗ {looked_at}: {len(rows):,} are not as they were written.", "bold red"),
    )


def _show_restored(output: Output, restored: "Restored") -> None:
    document = {"proven": restored.proven, "restored": restored}
    counts = (
        ("Tenants", f"{restored.tenants:,}"),
        ("Payers", f"{restored.payers:,}"),
        ("Fundings", f"{restored.fundings:,}"),
        ("Open calls", f"{restored.open_calls:,}"),
        ("Lines they come from", f"{restored.entries:,}"),
    )
    rest = f"Rate decks are not in the archive: put them again with {typed('rates import')}."
    if restored.proven:
        text = "✓ Every tenant is as the archive says, and all money is there."
        output.show(document, facts("", counts), line(text, "green"), line(rest, "dim"))
        return
    rows = [(wrong,) for wrong in restored.wrong[:_ROWS_SHOWN]]
    text = "✗ The store is not what the archive says, and will not serve."
    output.show(document, facts("", counts), table("", ("Found",), rows), line(text, "bold red"))
