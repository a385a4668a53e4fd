"""The committed stubs are what the contract gives, and the contract keeps its own rules."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parent.parent
TOOLS = Path(sys.executable).parent


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with stubs made just now; protoc finds its plugins on the PATH."""
    folder = tmp_path_factory.mktemp("stubs")
    path = f"{TOOLS}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        [sys.executable, "protos/generate.py", "--check", str(folder)],
        cwd=HOUSE,
        env={**os.environ, "PATH": path},
        check=True,
    )
    return folder


def files_below(folder: Path) -> set[Path]:
    return {file.relative_to(folder) for file in folder.rglob("*") if file.is_file()}


def test_every_stub_is_committed_byte_for_byte_as_the_contract_gives_it(made: Path) -> None:
    fresh = files_below(made)
    assert fresh, "the generator made nothing"
    stale = [
        str(file)
        for file in sorted(fresh)
        if not (HOUSE / file).is_file() or (HOUSE / file).read_bytes() != (made / file).read_bytes()
    ]
    assert not stale, f"run python protos/generate.py: {stale}"


def test_no_stub_outlives_its_proto_file(made: Path) -> None:
    committed = {f.relative_to(HOUSE) for f in HOUSE.glob("client/talktime/v1/*_pb2*.py*")}
    assert committed - files_below(made) == set()


def test_the_contract_keeps_the_rules_of_its_linter() -> None:
    buf = shutil.which("buf", path=f"{TOOLS}{os.pathsep}{os.environ['PATH']}")
    assert buf, "buf comes with the dev extra: ./talktime test installs it"
    done = subprocess.run([buf, "lint"], cwd=HOUSE / "protos", capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
