"""The sandbox as a program: `python -m talktime_server.payments.sandbox --port 8090 --webhooks http://localhost:8080`.

Its first line on standard output is JSON: where it listens, and what a gateway needs to charge there.
"""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence

from talktime_server.payments.sandbox import Sandbox, SandboxSettings, Token


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until it is interrupted."""
    parser = argparse.ArgumentParser(prog="sandbox", description="A payment provider to try with.")
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; a free one by default")
    parser.add_argument("--webhooks", default="", help="where talktime's webhooks are served")
    asked = parser.parse_args(arguments)
    asyncio.run(_serve(asked.port, SandboxSettings(webhook_url=asked.webhooks)))
    return 0


async def _serve(port: int, settings: SandboxSettings) -> None:
    stop = asyncio.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(each, stop.set)
    async with Sandbox(settings, port=port) as sandbox:
        told = {
            "url": sandbox.url,
            "stripe_key": settings.stripe_key,
            "billing_token": settings.billing_token,
            "tokens": list(Token),
        }
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    sys.exit(main())
