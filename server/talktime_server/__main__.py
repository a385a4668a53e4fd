"""The `talktime` command. A base install has it too, without what it needs: it then says how to get that."""

import sys


def main() -> None:
    """Runs the command line, or says in one sentence how to install it and exits 2."""
    try:
        from talktime_server import cli
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if missing.startswith("talktime"):
            raise
        sys.stderr.write(
            f"talktime: the command needs the server extra ({missing} is missing):"
            " pip install 'talktime[server]'\n"
        )
        sys.exit(2)
    cli.main()


if __name__ == "__main__":
    main()
