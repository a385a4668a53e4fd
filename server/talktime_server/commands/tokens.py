"""`talktime token`: who may ask. These work on the tokens file of this machine; a running service notices within a second."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from talktime_server.commands.exits import Exit, Stop, sentence
from talktime_server.commands.output import Output, console, line, table
from talktime_server.commands.session import OPERATOR_TOKEN, Json, ending

if TYPE_CHECKING:
    from talktime_server.config import Settings
    from talktime_server.rpc.shapes import Role
    from talktime_server.rpc.token_file import TokenRecord

group = typer.Typer(no_args_is_help=True)

OPERATOR_NAME = "operator of this machine"
MOST_DAYS = 36_500
ROLES = ("router", "admin", "operator", "auditor")


@group.command("create")
def create(
    role: Annotated[str, typer.Option(metavar="|".join(ROLES), help="What it may do.")],
    tenant: Annotated[
        list[str], typer.Option(metavar="TENANT", help="For whom; repeat for more, or * for all.")
    ],
    name: Annotated[str, typer.Option(help="Whose it is, as the router's name.")],
    expires_days: Annotated[
        int, typer.Option(min=0, max=MOST_DAYS, help="Days it works; 0 is for ever.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Makes a token and shows it this once: only its hash is kept.

    A router asks for calls. An admin looks after payers, licences, recharges and notices. An operator may do everything,
    money and decks included. An auditor reads. All of them may quote, and look at a call.

    Example: talktime token create --role router --tenant contoso --name sbc-east

    Example: talktime token create --role auditor --tenant "*" --name audit --expires-days 30
    """
    output = Output(as_json=as_json)
    with ending(output), _tokens_file() as path:
        from talktime_server.rpc import token_file

        expires = datetime.now(UTC) + timedelta(days=expires_days) if expires_days else None
        text = token_file.create(path, role=_role(role), tenants=tenant, name=name, expires=expires)
        token_id = text.split("_")[1]
        document = {"id": token_id, "token": text, "role": role, "tenants": tenant, "name": name}
        hint = (
            f"This token, whose id is {token_id}, is shown this once: put it where {name} finds it."
        )
        output.show(document, line(text))
        if not as_json:  # beside the answer, so that a shell can take the token alone
            console(stderr=True).print(line(hint, "dim")())


@group.command("list")
def list_(as_json: Json = False) -> None:
    """Lists the tokens, never their texts.

    Example: talktime token list
    """
    output = Output(as_json=as_json)
    with ending(output), _tokens_file() as path:
        from talktime_server.rpc import token_file

        records = token_file.listed(path)
        rows = [(r.id, r.role, " ".join(r.tenants), r.name, r.expires or "never") for r in records]
        columns = ("Id", "Role", "Tenants", "Name", "Expires")
        output.show({"tokens": list(map(_document, records))}, table("", columns, rows))


@group.command("revoke")
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="As `talktime token list` shows.")],
    as_json: Json = False,
) -> None:
    """Ends a token; a running service refuses it within a second.

    Example: talktime token revoke 1f0c9a7be2d4
    """
    output = Output(as_json=as_json)
    with ending(output), _tokens_file() as path:
        from talktime_server.rpc import token_file

        if not token_file.revoke(path, token_id):
            text = f"There is no token {token_id}. `talktime token list` shows those there are."
            raise Stop(Exit.NOT_FOUND, text)
        output.show({"id": token_id, "revoked": True}, line(f"Token {token_id} is revoked."))


def keep_operator_token(settings: "Settings") -> Path | None:
    """Makes the operator's token unless there is one already; says where it is if it was made now."""
    from talktime_server.rpc import token_file
    from talktime_server.rpc.shapes import Role

    kept = settings.state_dir / OPERATOR_TOKEN
    records = token_file.listed(settings.tokens_path)
    if any(record.role is Role.OPERATOR for record in records):
        return None
    text = token_file.create(
        settings.tokens_path,
        role=Role.OPERATOR,
        tenants=(token_file.ALL_TENANTS,),
        name=OPERATOR_NAME,
    )
    settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    # The old one, if any, belongs to a tokens file that is gone.
    kept.unlink(missing_ok=True)
    with open(os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text + "\n")
    return kept


@contextmanager
def _tokens_file() -> Iterator[Path]:
    from talktime_server.config import BadSetting, Settings
    from talktime_server.rpc.token_file import TokenFileRefused

    try:
        yield Settings.read(os.environ).tokens_path
    except (BadSetting, TokenFileRefused, ValueError) as error:
        raise Stop(Exit.USAGE, sentence(error)) from None


def _role(word: str) -> "Role":
    from talktime_server.rpc.shapes import Role

    if word not in ROLES:
        raise Stop(Exit.USAGE, f"--role is {word!r}; allowed: {', '.join(ROLES)}.")
    return Role(word)


def _document(record: "TokenRecord") -> dict[str, object]:
    return {
        "id": record.id,
        "role": record.role,
        "tenants": record.tenants,
        "name": record.name,
        "not_before": record.not_before or None,
        "expires": record.expires or None,
    }
