"""How fast the store is by itself: what the service asks of it is overheard, and asked again of a second store in the same state.

The second store has nothing else to do, and gets the very same scripts with the very same arguments,
many in one write. No store could be faster for this service.
"""

import asyncio
import codecs
import dataclasses
import re
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from talktime_loadtest.figures import Figures
from talktime_loadtest.preparing import Stage
from talktime_loadtest.running import Load, measure
from talktime_loadtest.services import Running
from talktime_loadtest.store import StoreFacts, StoreSaid
from talktime_loadtest.targets.bench import Finding, sound

LISTEN_S = 1.0
START_LIMIT_S = 20.0
HEAR_LIMIT_S = 60.0
LOOK_EVERY_S = 0.01
TOGETHER = 32
ANSWERS_BYTES = 64 * 1024 * 1024
_SPOKEN = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_SCRIPTS = (b"evalsha", b"fcall")
_MARK = b"all of these are answered"

Words = list[bytes]


async def store_rate(service: Running, stage: Stage, load: Load) -> Finding:
    """Decisions a second of a store that does nothing else; not judged where it cannot be listened to."""
    load = dataclasses.replace(load, seconds=LISTEN_S, warm_up_seconds=0.0)
    try:
        async with StoreFacts(service.store_url) as store, _second(store) as second:
            spoken, figures = await _overhear(service, stage, load)
            await _teach(store, second, spoken)
            took_s = await _ask_again(second.url, spoken)
    except (StoreSaid, OSError, TimeoutError) as error:
        text = f"the store's own rate could not be found: {error or type(error).__name__}"
        return Finding(0.0, text, judged=False)
    decided = figures.total("granted") + figures.total("settled")
    together = decided / max(1, len(spoken))
    text = f"the store alone: {decided / took_s:,.0f}/s, {together:.0f} decisions a script call"
    return Finding(decided / took_s, text)


@asynccontextmanager
async def _second(first: StoreFacts) -> AsyncIterator[StoreFacts]:
    """A store that holds what the first holds now, and keeps its writes as that does."""
    await first.ask("SAVE")
    program = (await first.told("server"))["executable"]
    _, folder = await first.ask("CONFIG", "GET", "dir")
    _, name = await first.ask("CONFIG", "GET", "dbfilename")
    _, fsync = await first.ask("CONFIG", "GET", "appendfsync")
    with tempfile.TemporaryDirectory(prefix="tt-load-") as own:
        shutil.copy(Path(str(folder), str(name)), Path(own, "dump.rdb"))
        options = {"port": "0", "unixsocket": f"{own}/s", "dir": own, "save": ""}
        options |= {"appendonly": "no", "appendfsync": str(fsync), "logfile": f"{own}/log"}
        words = [word for option, given in options.items() for word in (f"--{option}", given)]
        process = await asyncio.create_subprocess_exec(program, *words)
        try:
            async with await _answering(f"unix://{own}/s") as second:
                await _keep_writes(second)
                yield second
        finally:
            process.kill()
            await process.wait()


async def _answering(url: str) -> StoreFacts:
    """The store, as soon as it has read what it holds."""
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        try:
            async with StoreFacts(url) as store:
                await store.ask("PING")
            return StoreFacts(url)
        except (OSError, StoreSaid):
            await asyncio.sleep(LOOK_EVERY_S)
    raise TimeoutError("the second store did not start")


async def _keep_writes(store: StoreFacts) -> None:
    await store.ask("CONFIG", "SET", "appendonly", "yes")
    await store.rested(START_LIMIT_S)


async def _overhear(service: Running, stage: Stage, load: Load) -> tuple[list[Words], Figures]:
    """The scripts that the service calls for a load, in their order, and the load's figures."""
    lines: list[bytes] = []
    url = service.store_url
    async with StoreFacts(url) as ear, StoreFacts(url) as mouth:
        listening = asyncio.create_task(ear.overhear(lines, _MARK))
        try:
            figures = sound(await measure(service.service, stage, load))
            await mouth.ask("ECHO", _MARK.decode())
            # MONITOR tells more slowly than the others ask: what they asked may still be to come.
            await asyncio.wait_for(listening, HEAR_LIMIT_S)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
    spoken = [_words(line) for line in lines if b" lua]" not in line[:64]]
    return [words for words in spoken if words and words[0].lower() in _SCRIPTS], figures


def _words(line: bytes) -> Words:
    """The words of a command, as MONITOR writes them."""
    _, _, spoken = line.partition(b"] ")
    # MONITOR escapes as a Python literal would.
    return [bytes(codecs.escape_decode(word)[0]) for word in _SPOKEN.findall(spoken)]


async def _teach(first: StoreFacts, second: StoreFacts, spoken: Iterable[Words]) -> None:
    """Gives the second store the scripts, which are no part of what a store saves."""
    for digest in {words[1] for words in spoken if words[0].lower() == b"evalsha"}:
        script = await first.ask("SCRIPT", "SHOW", digest.decode())
        await second.ask("SCRIPT", "LOAD", str(script))


async def _ask_again(url: str, spoken: list[Words]) -> float:
    """Seconds from the first script call to the last answer; the next group is sent before the last one is answered."""
    groups = [spoken[at : at + TOGETHER] for at in range(0, len(spoken), TOGETHER)]
    written = [b"".join(map(_command, [*group, [b"ECHO", _MARK]])) for group in groups]
    reader, writer = await asyncio.open_unix_connection(
        url.removeprefix("unix://"), limit=ANSWERS_BYTES
    )
    try:
        began = time.perf_counter()
        writer.write(written[0])
        for following in [*written[1:], b""]:
            writer.write(following)
            await reader.readuntil(_MARK)
        return time.perf_counter() - began
    except asyncio.LimitOverrunError as error:
        raise StoreSaid("its answers are larger than was thought") from error
    finally:
        writer.close()


def _command(words: Words) -> bytes:
    parts = b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
    return b"*%d\r\n%s" % (len(words), parts)
