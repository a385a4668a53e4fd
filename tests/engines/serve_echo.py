"""`python -m engines.serve_echo FILE`: the service as a process of its own; FILE gets its address and its pids."""

import asyncio
import json
import os
import sys
from pathlib import Path

from talktime_server.config import Settings
from talktime_server.supervisor import Supervisor, serve


def main(told: Path) -> None:
    """Serves what the environment says."""

    def announce(supervisor: Supervisor) -> None:
        store = supervisor.store.pid if supervisor.store else None
        known = {"address": supervisor.address, "workers": supervisor.workers, "store": store}
        fresh = told.with_suffix(".new")
        fresh.write_text(json.dumps(known))
        fresh.replace(told)

    asyncio.run(serve(Settings.read(os.environ), announce=announce))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
