"""No full phone number and no token in anything the service writes, whatever happens to it."""

import json
import os
import signal
import subprocess

import pytest

from service.conftest import put_decks
from service.raw import AUTHORIZATION, Raw, bearer
from service.running import Served, until
from service.site import Site
from service.test_identity import request_of
from talktime import CallFields, CallType, TalktimeError
from talktime_server.config import Engine
from talktime_server.ledger import keys

# Digits that nothing else in a log has; what is looked for is less than the whole.
CALLER, CALLED, PREMIUM = "+14255559371", "+442079468642", "+449098797531"
BAD, ROUTED = "+44-2079-468-753", "+447700908642"
CANARIES = ("4255559371", "2079468642", "9098797531", "2079-468", "7700908642")
MARK = "canary-7f3a91"  # in a name and in a metadata value


def tokens_of(served: Served) -> list[str]:
    """The secrets of every token it knows."""
    names = ("operator", "router", "auditor", "lone_router", "expired", "early")
    return [getattr(served, name).split("_", 2)[2] for name in names]


def ordinary_calls(site: Site) -> None:
    """Calls that go well, calls that are refused, and calls for help."""
    for n, number in enumerate((CALLED, PREMIUM, "+390698797531")):
        call = site.call(
            number, call_id=f"leg-{n}", from_number=CALLER, routing_number=ROUTED if n == 0 else ""
        )
        if call.authorized:
            site.router.extend(call.call_id, 1, 60)
            site.settle(call, 30)
    fields = CallFields("alice", CallType.USER_OUT, CALLED, from_number=CALLER)
    site.router.settle("leg-9", 30, fields)
    site.router.quote("alice", "USER_OUT", CALLED, from_number=CALLER)
    site.call("112", call_id="help-1", from_number=CALLER)
    until(lambda: site.kinds("help-1"))


def bad_calls(site: Site, raw: Raw) -> None:
    """Requests that are refused at each of the doors."""
    service = site.service
    for changes in ({"to_number": BAD}, {"from_number": "x" + CALLER}, {"call_id": CALLER + " "}):
        assert raw.ask(request_of(site, **changes)).code.name == "INVALID_ARGUMENT"
    raw.ask(request_of(site, call_id="leg-0", to_number="+442079468643", from_number=CALLER))
    body = request_of(site, from_number=CALLER, to_number=CALLED).SerializeToString()
    raw.send(AUTHORIZATION + "Authorize", body[:-7] + b"\xff" * 9)
    raw.send(AUTHORIZATION + CALLER, body)
    for token in (service.expired, service.router[:-3], service.lone_router):
        raw.ask(request_of(site, to_number=CALLED), metadata=bearer(token))
    marked = (*bearer(service.router), ("x-who", MARK + CALLER))
    raw.send(AUTHORIZATION + "Authorize", body, metadata=marked)


def trouble(served: Served, site: Site) -> None:
    """The store dies and a process dies, with calls about."""
    processes = commands_of(served.family())
    (store,) = [pid for pid, command in processes.items() if "valkey" in command]
    os.kill(store, signal.SIGKILL)
    for n in range(20):
        quietly_call(site, f"lost-{n}")
    until(lambda: quietly_call(site, "back-1"), within_s=10)
    workers = [pid for pid, command in processes.items() if is_worker(command)]
    os.kill(workers[0], signal.SIGKILL)
    until(lambda: quietly_call(site, "back-2"), within_s=10)
    until(lambda: "worker_restarted" in served.log_path.read_text(), within_s=10)


def is_worker(command: str) -> bool:
    return "talktime_server.worker" in command or "envoy" in command.split()[0]


def commands_of(pids: set[int]) -> dict[int, str]:
    """The command line of each process."""
    listed = subprocess.run(
        ["ps", "-o", "pid=,args=", "-p", ",".join(map(str, pids))],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    rows = (line.strip().split(maxsplit=1) for line in listed.stdout.splitlines())
    return {int(pid): command for pid, command in rows}


def quietly_call(site: Site, call_id: str) -> bool:
    """Whether a call was decided."""
    try:
        return bool(site.call(CALLED, call_id=call_id, from_number=CALLER).outcome)
    except TalktimeError:
        return False


@pytest.fixture(scope="module")
def served(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Served:
    """A service that has had an eventful life, and has ended."""
    running = Served(engine, tmp_path_factory.mktemp("eventful"), log_level="debug").start()
    try:
        put_decks(running)
        live(running)
    finally:
        status = running.stop()
    assert status == 0
    return running


def live(served: Served) -> None:
    """Everything that may be written about, happens."""
    site, raw = Site.open(served), Raw(served.address, served.router)
    site.put_payer("bob", display_name=MARK)
    site.fund(10_000_000)
    ordinary_calls(site)
    bad_calls(site, raw)
    trouble(served, site)
    raw.close()
    site.close()


def test_the_logs_hold_no_number_and_no_token(served: Served) -> None:
    """Promise of the log: what went wrong, never whose number or which secret."""
    written = "\n".join(served.logs().values())
    assert "call_failed" in written, "the log tells of refused requests"
    found = [word for word in (*CANARIES, MARK, *tokens_of(served)) if word in written]
    assert found == []


def test_each_line_of_the_log_is_one_json_object(served: Served) -> None:
    """For programs that read logs; the store has a file of its own, and Envoy's lines are Envoy's."""
    lines = served.log_path.read_text().splitlines()
    assert strangers(lines) == []
    assert any(json.loads(line)["event"] == "worker_died" for line in lines if is_event(line))


def strangers(lines: list[str]) -> list[str]:
    """Lines that are neither ours nor Envoy's, which begin with the time in brackets and may go on below."""
    found, of_envoy = [], False
    for line in lines:
        of_envoy = line.startswith("[20") or (of_envoy and line.startswith((" ", "layers:")))
        if not (of_envoy or is_event(line)):
            found.append(line)
    return found


def is_event(line: str) -> bool:
    """Whether a line is ours."""
    try:
        return "event" in json.loads(line)
    except ValueError:
        return False


def test_what_the_store_says_of_a_broken_record_stays_in_the_log(site: Site) -> None:
    """The caller learns that the outcome is not known; only the log says why."""
    with site.service.store() as store:
        store.set(keys.call(site.tenant_id, "leg-1"), b"\xc1no call")
    with pytest.raises(TalktimeError) as broken:
        site.router.release("leg-1")
    assert (broken.value.reason, broken.value.outcome) == ("STORE_ERROR", "UNKNOWN")
    assert "Bad data" not in str(broken.value)
    until(lambda: any("Bad data" in text for text in site.service.logs().values()))
