"""Which administrator roles hear of what (domain.md 6): the credits' notices and the pools' go to different sets of roles.

`notification_roles.csv` has the sixteen roles as they were first named and as they are named now; both names are taken.
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType

from talktime_server.words import NoticeKind

_POOLS = frozenset({NoticeKind.POOL_80, NoticeKind.POOL_100})


@dataclass(frozen=True, slots=True)
class Role:
    """What a role hears of."""

    credits: bool
    pools: bool


@cache
def roles() -> Mapping[str, Role]:
    """Every role by each of its names."""
    found: dict[str, Role] = {}
    text = resources.files(__package__).joinpath("notification_roles.csv").read_text("utf-8")
    for row in csv.DictReader(text.splitlines()):
        role = Role(row["credits_notices"] == "yes", row["pool_notices"] == "yes")
        found[row["role"]] = found[row["current_name"]] = role
    return MappingProxyType(found)


def hears(held: Iterable[str], kind: NoticeKind) -> bool:
    """Whether the holder of some roles hears of a kind of notice; everybody hears of a test."""
    if kind is NoticeKind.TEST:
        return True
    known = (roles()[name] for name in held if name in roles())
    return any(role.pools if kind in _POOLS else role.credits for role in known)
