"""The bad-input matrix, row by row: a defined status, no word too many, and nothing moved (reliability, 7).

Rows B14 to B19 and B67 on are about connections and belong to the engines; B30, B31, B39, B40 and B55 to what is not served yet.
"""

from collections.abc import Callable

import pytest

from service.bad_accounts import rows as account_rows
from service.bad_callers import callers
from service.bad_money import rows as money_rows
from service.bad_rows import ANY, REFUSED, Row, Scene, rows
from service.bad_stories import stories
from service.raw import Raw, Reply
from service.running import until
from service.site import Site
from talktime.v1 import authorization_service_pb2 as pb

TABLE = [*rows(), *account_rows(), *money_rows(), *callers(), *stories()]
# What only an exception, a trace or a driver would say.
TELLTALES = ("Traceback", "Exception", "Error", "google", "redis", "valkey", "0x", ".py", "<class")


@pytest.fixture
def scene(make_site: Callable[..., Site], raw: Raw) -> Scene:
    """A tenant with an open call, and another one with a call of its own."""
    site, other = make_site(), make_site()
    for each, call_id in ((site, "old"), (other, "theirs")):
        each.fund(10_000_000)
        assert each.call(call_id=call_id).authorized
    return Scene(site, other, raw)


def state_of(site: Site) -> tuple[tuple[int, int], list[str], int, int]:
    """The digest: money, journal, and what is open and held."""
    call = site.router.get_call("old")
    return site.sums(), site.kinds(), call.granted_seconds, call.held_micros


@pytest.mark.parametrize("row", TABLE, ids=[row.id for row in TABLE])
def test_bad_input_is_answered_as_the_matrix_says_and_moves_nothing(scene: Scene, row: Row) -> None:
    before = state_of(scene.site)
    reply = row.ask(scene)
    check_status(row, reply)
    until(lambda: scene.site.kinds() == [*before[1], *row.moves])
    if not row.moves:
        assert state_of(scene.site) == before
    check_words(row, reply)
    assert scene.raw.ask(still_served(scene)).code.name == "OK"


def check_status(row: Row, reply: Reply) -> None:
    if row.code == REFUSED:
        assert reply.code.name != "OK"
    elif row.code != ANY:
        reason = reply.reason or row.reason if row.library else reply.reason
        assert (reply.code.name, reason) == (row.code, row.reason)


def check_words(row: Row, reply: Reply) -> None:
    """No text of an exception, nothing that was sent, and, where it is our own refusal, that nothing was done."""
    said = reply.said.encode() + reply.details
    for text in row.hidden:
        assert text.encode("utf-8", "surrogatepass") not in said
    assert not [word for word in TELLTALES if word in reply.said]
    if reply.reason:
        assert reply.facts["outcome"] == "NOT_APPLIED"


def still_served(scene: Scene) -> pb.GetCallRequest:
    return pb.GetCallRequest(tenant_id=scene.site.tenant_id, call_id="old")
