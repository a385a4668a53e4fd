"""`python -m talktime_loadtest`: unary Authorize in a closed loop, against a service or a bare echo.

The echo is the floor: serve it with TALKTIME_APP=talktime_loadtest.echo:open_app, and compare the two.
"""

import argparse
import asyncio
import dataclasses
import json
import sys

from talktime_loadtest.closed import Load, run


def main() -> int:
    """Prints calls per second and latencies, as a table line or JSON; exits 1 when a call was not
    authorized.
    """
    parser = argparse.ArgumentParser(prog="talktime_loadtest", description=__doc__)
    parser.add_argument("--target", default="127.0.0.1:7788", help="host:port")
    parser.add_argument("--token", default="", help="a router's token")
    parser.add_argument("--tenant", action="append", help="may be given several times")
    parser.add_argument("--payer", default="alice")
    parser.add_argument("--to", default="+442079460018", help="the number to call, E.164")
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    host, _, port = given.target.rpartition(":")
    tenants = tuple(given.tenant or ("contoso",))
    load = Load(
        host, int(port), given.token, tenants, given.payer, given.to, given.in_flight, given.seconds
    )
    figures = asyncio.run(run(load))
    if given.json:
        sys.stdout.write(json.dumps(dataclasses.asdict(figures)) + "\n")
    else:
        sys.stdout.write(
            f"{figures.per_second:,.0f} calls/s, {figures.failed} failed; "
            f"p50 {figures.p50_us:,.0f} µs, p99 {figures.p99_us:,.0f} µs, "
            f"p99.9 {figures.p999_us:,.0f} µs\n"
        )
    return 1 if figures.failed or not figures.calls else 0


if __name__ == "__main__":
    sys.exit(main())
