"""Makes the committed stubs from the proto files, with the tools that constraints.txt pins.

Run `python protos/generate.py`; `--check DIR` writes somewhere else, for the test that proves the stubs fresh.
"""

import argparse
import sys
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from grpc_tools import protoc

PROTOS = Path(__file__).resolve().parent
HOUSE = PROTOS.parent
DESCRIPTORS = "talktime_server/rpc/descriptors.pb"
# Envoy writes an error's details as JSON by the names they have on the wire, which are Google's and not our mirrors'.
DETAILS = ("google/rpc/status.proto", "google/rpc/error_details.proto")


def generate(client: Path, server: Path) -> int:
    """Writes the Python stubs below `client` and Envoy's descriptor set below `server`; returns protoc's exit code."""
    sources = sorted(str(p.relative_to(PROTOS)) for p in PROTOS.glob("talktime/v1/*.proto"))
    (server / DESCRIPTORS).parent.mkdir(parents=True, exist_ok=True)
    return _protoc(
        f"--python_out={client}",
        f"--grpc_python_out={client}",
        f"--mypy_out=quiet:{client}",
        f"--mypy_grpc_out=quiet:{client}",
        *sources,
    ) or _protoc(
        "--include_imports",
        f"--descriptor_set_out={server / DESCRIPTORS}",
        *sources,
        *DETAILS,
    )


def _protoc(*arguments: str) -> int:
    status = find_spec("google.rpc.status_pb2")
    assert status is not None
    assert status.origin is not None
    google = Path(status.origin).parents[2]
    folders = (PROTOS, files("grpc_tools") / "_proto", google)
    return int(protoc.main(["protoc", *(f"-I{folder}" for folder in folders), *arguments]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", type=Path, help="write below this folder instead of the house")
    home = parser.parse_args().check or HOUSE
    client, server = home / "client", home / "server"
    client.mkdir(parents=True, exist_ok=True)
    return generate(client, server)


if __name__ == "__main__":
    sys.exit(main())
