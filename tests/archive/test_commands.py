"""`talktime archive verify` and `rebuild`, as they are typed: over the database and the store of the settings."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from archive.doings import archived, live_a_little
from ledger.world import World, open_world
from stores import StoreProcess
from talktime_server.archive.database import Database
from talktime_server.commands import archive
from talktime_server.commands.exits import Exit


@pytest.fixture
def kept(
    world: World,
    database: Database,
    archive_url: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Settings that name a full archive, and an embedded store that is not there yet."""
    monkeypatch.setenv("TALKTIME_ARCHIVE_URL", archive_url)
    monkeypatch.setenv("TALKTIME_STATE_DIR", str(tmp_path / "state"))


async def typed(*words: str) -> Result:
    """Runs a command in a thread: it brings a loop of its own."""
    return await asyncio.to_thread(CliRunner().invoke, archive.group, list(words))


async def document(*words: str) -> Any:
    ran = await typed(*words, "--json")
    assert ran.exit_code == 0, ran.output
    return json.loads(ran.stdout)


@pytest.mark.usefixtures("kept")
async def test_verify_tells_what_it_looked_at(
    world: World, database: Database, tmp_path: Path
) -> None:
    await live_a_little(world)
    await archived(world, database)
    found = await document("verify")
    assert found["sound"]
    assert found["entries"] == found["heads"][0]["version"] > 0
    heads = tmp_path / "heads.json"
    heads.write_text(json.dumps(found))
    await live_a_little(world, "2")
    await archived(world, database)
    assert (await document("verify", "--against", str(heads)))["sound"]


@pytest.mark.usefixtures("kept")
async def test_verify_names_what_is_wrong(world: World, database: Database) -> None:
    await live_a_little(world)
    await archived(world, database)
    async with database.begin() as connection:
        await connection.execute(text("UPDATE balances SET settled_micros = 1"))
    ran = await typed("verify")
    assert ran.exit_code == Exit.FAILED
    assert "settled_micros is not what the lines come to" in ran.output
    assert "acme" in ran.output


@pytest.mark.usefixtures("kept")
async def test_rebuild_restores_the_store_of_the_settings(
    world: World, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await live_a_little(world)
    await archived(world, database)
    money = await world.ledger.balance(world.tenant)
    process = StoreProcess()
    try:
        await process.start()
        monkeypatch.setenv("TALKTIME_STORE_URL", process.url)
        ran = await typed("rebuild")
        assert ran.exit_code == 0, ran.output
        assert "rates import" in ran.output
        again = await typed("rebuild", "--json")
        assert again.exit_code == Exit.CONFLICT
        assert json.loads(again.stderr)["error"]["reason"] == "STORE_NOT_EMPTY"
        async with open_world(process.url, "acme") as other:
            assert (await other.ledger.balance(other.tenant)).money == money.money
    finally:
        process.stop()


@pytest.mark.usefixtures("kept")
async def test_rebuild_starts_the_embedded_store_itself(world: World, database: Database) -> None:
    await live_a_little(world)
    await archived(world, database)
    assert (await document("rebuild"))["proven"]
    ran = await typed("rebuild")
    assert "only an empty store" in ran.output


async def test_an_archive_that_is_not_there_is_not_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TALKTIME_ARCHIVE_URL", f"sqlite:///{tmp_path / 'none.db'}")
    ran = await typed("verify", "--json")
    assert ran.exit_code == Exit.NOT_FOUND
    assert os.listdir(tmp_path) == []
