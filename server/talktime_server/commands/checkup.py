"""The checks of `talktime doctor`: this machine, its settings, its store and its archive, each with a verdict and what to do."""

import os
import shutil
import socket
import stat
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from talktime_server import embedded, engines
from talktime_server.commands import money_checkup
from talktime_server.commands.finding import Finding, Verdict
from talktime_server.commands.session import OPERATOR_TOKEN
from talktime_server.config import Settings, unknown_variables
from talktime_server.control import StartRefused
from talktime_server.embedded import EmbeddedStore
from talktime_server.failure import Failure
from talktime_server.ledger import safety
from talktime_server.ledger.store import Store
from talktime_server.rpc import token_file
from talktime_server.rpc.token_file import TokenFileRefused
from talktime_server.state_folder import StateFolder

OLDEST_PYTHON = (3, 11)
# A store's clock further from this machine's than this is worth a look: leases and reports follow the store's.
MOST_CLOCK_SKEW_S = 2.0
STORE_TIMEOUT_S = 1.0
LEAST_FREE_BYTES = 1024**3
# Before this a machine's clock was never set.
_EARLIEST_S = 1_767_225_600


async def examine(settings: Settings) -> list[Finding]:
    """Every finding, in the order of what depends on what."""
    found = [_python(), _variables(os.environ), _engine(settings)]
    found += [_state_folder(settings), _free_space(settings)]
    found += [*_tokens(settings), _port(settings)]
    found += [finding async for finding in _store(settings)]
    found += _allocator(settings)
    found += [finding async for finding in money_checkup.payments(settings)]
    return found + [finding async for finding in money_checkup.mail(settings)]


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < OLDEST_PYTHON:
        return Finding("python", Verdict.BAD, version, "start it with Python 3.11 or newer")
    return Finding("python", Verdict.OK, f"{version}, {sys.executable}")


def _variables(environ: Mapping[str, str]) -> Finding:
    if unknown := unknown_variables(environ):
        text = f"{', '.join(unknown)}: not a setting"
        return Finding("settings", Verdict.WARN, text, "see docs/settings.md for the names")
    return Finding("settings", Verdict.OK, "every TALKTIME_ variable is one")


def _engine(settings: Settings) -> Finding:
    try:
        choice = engines.choose(settings.engine)
    except StartRefused as refused:
        return Finding("engine", Verdict.BAD, str(refused), "set TALKTIME_ENGINE to auto or grpcio")
    return Finding("engine", Verdict.OK, f"{choice.engine}, {choice.why}")


def _state_folder(settings: Settings) -> Finding:
    folder = settings.state_dir
    if not folder.exists():
        parent = next(each for each in folder.parents if each.exists())
        if os.access(parent, os.W_OK):
            return Finding("state folder", Verdict.OK, f"{folder} will be made at the first start")
        return Finding("state folder", Verdict.BAD, f"{folder} cannot be made", _OTHER_FOLDER)
    if not os.access(folder, os.W_OK | os.X_OK):
        return Finding("state folder", Verdict.BAD, f"{folder} cannot be written to", _OTHER_FOLDER)
    if _open_to_others(folder):
        return Finding(
            "state folder", Verdict.WARN, f"{folder} is open to others", f"chmod 700 {folder}"
        )
    return Finding("state folder", Verdict.OK, str(folder))


def _free_space(settings: Settings) -> Finding:
    place = next(
        each for each in (settings.state_dir, *settings.state_dir.parents) if each.exists()
    )
    free = shutil.disk_usage(place).free
    text = f"{free // 1024**2:,} MiB free below {place}"
    if free < LEAST_FREE_BYTES:
        return Finding("disk", Verdict.WARN, text, "the journal grows with every call: make room")
    return Finding("disk", Verdict.OK, text)


def _tokens(settings: Settings) -> Iterator[Finding]:
    path = settings.tokens_path
    if not path.exists():
        text = f"{path} is not there yet; the first start of `talktime serve` makes it"
        yield Finding("tokens", Verdict.OK, text)
    else:
        yield _tokens_file(path)
    kept = settings.state_dir / OPERATOR_TOKEN
    if kept.exists() and _open_to_others(kept):
        text = f"{kept} is open to others"
        yield Finding(
            "operator's token", Verdict.BAD, text, f"chmod 600 {kept}, and make a new one"
        )


def _tokens_file(path: Path) -> Finding:
    try:
        records = token_file.read(path)
    except TokenFileRefused as refused:
        return Finding("tokens", Verdict.BAD, str(refused), "the service refuses to start with it")
    now = time.time()
    live = [record for record in records if record.valid_from_s <= now < record.valid_until_s]
    text = f"{len(live)} of {len(records)} work now, in {path}"
    if not live:
        return Finding("tokens", Verdict.WARN, text, "make one: talktime token create")
    return Finding("tokens", Verdict.OK, text)


def _port(settings: Settings) -> Finding:
    host, port = settings.host, settings.port
    if port == 0:
        return Finding("port", Verdict.OK, "a free one is taken at each start")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        return _port_in_use(settings, error.strerror or str(error))
    return Finding("port", Verdict.OK, f"{host}:{port} is free; no service runs there now")


def _port_in_use(settings: Settings, why: str) -> Finding:
    where = f"{settings.host}:{settings.port}"
    if _serves(settings):
        return Finding("port", Verdict.OK, f"the service of this state folder runs on {where}")
    advice = "stop what listens there, or choose another with TALKTIME_PORT"
    return Finding("port", Verdict.BAD, f"{where}: {why}", advice)


def _serves(settings: Settings) -> bool:
    """Whether a supervisor lives here: only then are its sockets there."""
    return (settings.state_dir / "run" / "control").exists()


async def _store(settings: Settings) -> AsyncIterator[Finding]:
    try:
        async with _a_store(settings) as (url, what):
            store = Store(url, timeout_s=STORE_TIMEOUT_S)
            try:
                async for finding in _ask(store, what):
                    yield finding
                # A store that was started for this moment has no archive.
                in_use = store if settings.store_url or _serves(settings) else None
                async for finding in money_checkup.archive(settings, in_use):
                    yield finding
            finally:
                await store.close()
    except StartRefused as refused:
        yield Finding("store", Verdict.BAD, str(refused), "without a store nothing can be served")
        async for finding in money_checkup.archive(settings, None):
            yield finding


async def _ask(store: Store, what: str) -> AsyncIterator[Finding]:
    try:
        troubles = await safety.inspect(store)
        skew_s = await _skew_s(store)
    except Failure as failure:
        advice = "start it, or name another with TALKTIME_STORE_URL"
        why = f" ({failure.__cause__})" if failure.__cause__ else ""
        yield Finding("store", Verdict.BAD, f"{what}: {failure.message}{why}", advice)
        return
    for trouble in troubles:
        verdict = Verdict.BAD if trouble.fatal else Verdict.WARN
        yield Finding("store", verdict, f"{what}: {trouble.text}", f"change {trouble.setting}")
    if not troubles:
        yield Finding("store", Verdict.OK, f"{what}; its settings keep money safe")
    yield _clock(skew_s)


@asynccontextmanager
async def _a_store(settings: Settings) -> AsyncIterator[tuple[str, str]]:
    """The store in use, else the one that would be: started for a moment, in a folder of its own."""
    socket_path = settings.state_dir / "run" / "store"
    if settings.store_url:
        yield settings.store_url, "the store of TALKTIME_STORE_URL"
    elif socket_path.exists():
        yield f"unix://{socket_path}", "the running embedded store"
    else:
        async with _tried_store(settings) as url:
            yield url, "the embedded store, tried in a folder of its own"


def _allocator(settings: Settings) -> Iterator[Finding]:
    if not settings.store_url and sys.platform == "linux":
        text = "mimalloc, the fastest here"
        if embedded.allocator() is None:
            text = (
                "the C library's; with the package cmeel-mimalloc calls cost the store a fifth less"
            )
        yield Finding("store's memory", Verdict.OK, text)


@asynccontextmanager
async def _tried_store(settings: Settings) -> AsyncIterator[str]:
    temporary = tempfile.TemporaryDirectory(prefix="talktime-")
    with temporary as path, StateFolder(Path(path)) as folder:
        socket_path, fsync = folder.run / "store", settings.store_fsync
        store = EmbeddedStore(folder.store, socket_path, fsync, folder.lock_fd)
        await store.start()
        try:
            yield store.url
        finally:
            await store.stop()


async def _skew_s(store: Store) -> float:
    """Of the server that is furthest off."""
    now_s = time.time()
    answers = await store.everywhere("TIME")
    skews = [int(seconds) + int(micros) / 1e6 - now_s for seconds, micros in answers]
    return max(skews, key=abs)


def _clock(skew_s: float) -> Finding:
    if time.time() < _EARLIEST_S:
        return Finding("clock", Verdict.BAD, "this machine's clock was never set", "synchronize it")
    text = f"the store's clock is {abs(skew_s):.1f} s {'ahead' if skew_s > 0 else 'behind'}"
    if abs(skew_s) > MOST_CLOCK_SKEW_S:
        return Finding(
            "clock", Verdict.WARN, text, "synchronize both; the store's is the one that counts"
        )
    return Finding("clock", Verdict.OK, "the store's and this machine's agree")


def _open_to_others(path: Path) -> bool:
    return bool(stat.S_IMODE(path.stat().st_mode) & 0o077)


_OTHER_FOLDER = "choose another with TALKTIME_STATE_DIR"
