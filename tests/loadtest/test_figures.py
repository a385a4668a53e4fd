"""Buckets, headers, and what is drawn of them."""

import random
import re
from pathlib import Path

import pytest

from loadtest.kit import PLAIN
from talktime.v1 import authorization_service_pb2 as pb
from talktime_loadtest.asking import Kind, Terms, marks, template
from talktime_loadtest.buckets import bucket_of, histogram_of, latency_us_of, merged
from talktime_loadtest.figures import Latency, at, figures_of
from talktime_loadtest.headers import BadBlock, header_block, read_block
from talktime_loadtest.loading import Moment, Told
from talktime_loadtest.orders import Orders
from talktime_loadtest.report import page
from talktime_loadtest.running import Load, Outcome


def counts_of(latencies_us: list[int]) -> dict[int, int]:
    return merged({bucket_of(us): 1} for us in latencies_us)


def test_a_bucket_is_a_thousandth_wide() -> None:
    for us in [0, 1, 2_047, 2_048, 4_095, 4_096, 99_999, 10**6, 59_999_999]:
        assert abs(latency_us_of(bucket_of(us)) - us) <= us / 1_000
    every = [bucket_of(us) for us in range(70_000)]
    assert every == sorted(every)


def test_merged_histograms_tell_what_one_of_all_would_tell() -> None:
    chance = random.Random(3)
    parts = [[int(chance.lognormvariate(7, 1)) for _ in range(5_000)] for _ in range(3)]
    together = merged(map(counts_of, parts))
    ordered = sorted(us for part in parts for us in part)
    assert sum(together.values()) == len(ordered)
    histogram = histogram_of(together)
    for percent in (50.0, 90.0, 99.0, 99.9):
        exact = ordered[int(len(ordered) * percent / 100) - 1]
        assert abs(at(histogram, percent) - exact) <= exact / 100
    # Other tools merge the histograms themselves.
    whole = histogram_of(counts_of(parts[0]))
    for part in parts[1:]:
        whole.add(histogram_of(counts_of(part)))
    assert at(whole, 99.0) == at(histogram, 99.0)


def test_headers_are_read_as_the_standard_writes_them() -> None:
    # RFC 7541, C.6.1: packed texts. The name stands in the standard's own table.
    assert read_block(bytes.fromhex("488264025885aec3771a4b"))[":status"] == "302"
    ours = header_block("/a/B", "h:1", {"authorization": "Bearer " + "x" * 300})
    assert read_block(ours)["authorization"] == "Bearer " + "x" * 300
    packed = b"\x00\x88" + bytes.fromhex("9acac8b21234da8f") + b"\x013"
    assert read_block(packed) == {"grpc-status": "3"}


@pytest.mark.parametrize("block", ["be", "00", "7f"], ids=["remembered", "cut", "endless"])
def test_a_block_that_makes_no_sense_is_refused(block: str) -> None:
    with pytest.raises((BadBlock, IndexError)):
        read_block(bytes.fromhex(block))


@pytest.mark.parametrize("kind", list(Kind), ids=str)
def test_what_is_put_together_reads_as_it_was_meant(kind: Kind) -> None:
    made = template(kind, "contoso", "alice", Terms("+442079460018"))
    call_id = b"0123456789abcdef01234567"
    mark = marks()[5]
    request = pb.ExchangeRequest.FromString(made.head + mark + made.body + call_id)
    (operation,) = request.operations
    field = operation.WhichOneof("operation")
    assert field is not None
    asked = getattr(operation, field)
    assert (asked.tenant_id, asked.call_id) == ("contoso", call_id.decode())
    assert type(asked).FromString(made.request(call_id)) == asked


def test_orders_survive_the_way_to_a_generator() -> None:
    assert Orders.from_line(PLAIN.to_line()) == PLAIN


def outcome_of(errors: dict[str, int]) -> Outcome:
    latencies = {Kind.AUTHORIZE: counts_of(list(range(500, 9_000, 7))), Kind.SETTLE: {700: 3}}
    moments = [Moment(0, phase, 0.25, 0, errors, latencies) for phase in (0, 0, 1, 1, 2, 2)]
    nothing = {"granted": [5], "settled": [5], "extended": [0], "refused": [0]}
    books = {
        **nothing,
        "errors": errors,
        "reasons": {},
        "asked": 10,
        "cpu_s": 1e-4,
        "latest_s": 0.0,
        "charged_micros": [1],
        "replayed": 0,
        "repeated": 0,
        "unknown": 0,
    }
    figures = figures_of(Told(moments, [books]), generators=1)
    unwanted = tuple(errors)
    return Outcome(Load(repeats=2), figures, "AOF, fsync everysec", (), figures, unwanted)


@pytest.mark.parametrize("errors", [{}, {"UNAVAILABLE": 4}], ids=["fine", "errors"])
def test_the_report_is_one_file_that_fetches_nothing(
    errors: dict[str, int], tmp_path: Path
) -> None:
    text = page(outcome_of(errors))
    assert not re.search(r"https?:|src=|href=|url\(|<script|@import|<link", text)
    assert text.count("<svg") == text.count("</svg>") == (4 if errors else 3)
    assert not re.search(r"\bnan\b|\binf\b", text)
    assert ("UNAVAILABLE 4" in text) is bool(errors)
    assert "fsync everysec" in text


def test_rates_are_those_of_the_measured_stretches() -> None:
    figures = outcome_of({}).figures
    per_moment = sum(sum(each.values()) for each in _latencies())
    assert [repeat.per_s for repeat in figures.repeats] == [per_moment / 0.25] * 2
    assert figures.latency == Latency.of(merged(figures.counts.values()))
    assert len(figures.points) == 6


def test_the_end_of_a_stretch_is_no_stall() -> None:
    """What is left of a moment there has no answers, and says nothing of the rate."""
    whole = Moment(0, 1, 0.25, 0, {}, {Kind.AUTHORIZE: {500: 50}})
    told = [whole, Moment(0, 1, 0.001, 0, {}, {})]
    figures = figures_of(Told(told * 2, []), generators=1)
    assert [point.per_s for point in figures.points] == [200.0, 200.0]
    assert figures.points[-1].at_s == pytest.approx(0.501)


def _latencies() -> list[dict[int, int]]:
    return [counts_of(list(range(500, 9_000, 7))), {700: 3}]
