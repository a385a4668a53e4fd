"""The `talktime` command. A base install has it too, without what it needs: it then says how to get that."""

import sys

EXTRA = ("typer", "rich", "redis", "structlog", "grpc_health", "grpc_reflection")


def main() -> None:
    """Runs the command line, or says in one sentence how to install it and exits 2."""
    try:
        from talktime_server import cli
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in EXTRA:
            raise
        sys.exit(_without_extra(error.name or ""))
    cli.main()


def _without_extra(missing: str) -> int:
    sys.stderr.write(
        f"talktime: the command line needs the server extra ({missing} is missing):"
        " pip install 'talktime[server]'\n"
    )
    return 2


if __name__ == "__main__":
    main()
