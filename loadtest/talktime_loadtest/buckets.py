"""Latencies as counts in buckets: cheap where answers come by the ten thousand, exact enough for percentiles.

A bucket is a thousandth of its value wide, and whole microseconds below 2 ms. At the end the counts
become an HDR histogram, which merges over processes and is what other tools read.
"""

from collections.abc import Iterable, Mapping

from hdrh.histogram import HdrHistogram

Counts = dict[int, int]

EXACT_BELOW_US = 2048
_STEPS = 1024
_EXACT_BITS = 11
LOWEST_US = 1
HIGHEST_US = 600_000_000
DIGITS = 3


def bucket_of(latency_us: int) -> int:
    """The bucket of a latency in whole microseconds, 0 or more."""
    if latency_us < EXACT_BELOW_US:
        return latency_us
    shift = latency_us.bit_length() - _EXACT_BITS
    return (shift << 10) + (latency_us >> shift)


def latency_us_of(bucket: int) -> int:
    """The middle of a bucket."""
    if bucket < EXACT_BELOW_US:
        return bucket
    shift = (bucket >> 10) - 1
    low = (bucket - (shift << 10)) << shift
    return low + (1 << shift >> 1)


def merged(parts: Iterable[Mapping[int, int]]) -> Counts:
    """The counts of several processes or moments together."""
    counts: Counts = {}
    for part in parts:
        for bucket, count in part.items():
            counts[bucket] = counts.get(bucket, 0) + count
    return counts


def histogram_of(counts: Mapping[int, int]) -> HdrHistogram:
    """The counts as an HDR histogram of microseconds."""
    histogram = HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS)
    for bucket, count in counts.items():
        histogram.record_value(min(max(LOWEST_US, latency_us_of(bucket)), HIGHEST_US), count)
    return histogram
