"""The prefixes that tell the numbers of one calling code apart, from the metadata of
`phonenumbers`.

A prefix whose valid numbers all have one label gets one row. Where they differ, one digit further
is looked at, down to a limit, where the larger part wins (numbers that only differ in length cannot
be told apart by a prefix). Digits that begin no valid number have no row: the next shorter prefix
speaks for them.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata

from talktime_server.decision.facts.digit_patterns import DIGITS, START, Machine

NO_COUNTRY = "001"
_MAX_NATIONAL_DIGITS = 15

# The order in which the library asks, and so the order in which overlapping patterns win.
KINDS = (
    "premium_rate",
    "toll_free",
    "shared_cost",
    "voip",
    "personal_number",
    "pager",
    "uan",
    "voicemail",
    "fixed_line",
    "mobile",
)


class Label(NamedTuple):
    """What a number is: its country and the word its kind was given."""

    country: str
    word: str


class Range(NamedTuple):
    """All the numbers with a prefix, unless a longer one says otherwise."""

    prefix: str
    label: Label


@dataclass(frozen=True, slots=True)
class Pattern:
    """Where the numbers of one kind end in the machine, how long they may be, and their word."""

    ends: int
    lengths: frozenset[int]
    word: str


@dataclass(frozen=True, slots=True)
class Region:
    """A country within a calling code; `beginning` marks numbers that are its own by their first
    digits alone.
    """

    country: str
    beginning: int | None
    patterns: tuple[Pattern, ...]

    def word(self, state: int, length: int) -> str | None:
        """The word of a number that ends in this state, or None when it is no number of this
        region.
        """
        found = (p.word for p in self.patterns if p.ends & state and length in p.lengths)
        return next(found, None)


class CallingCode:
    """The numbers of one calling code. `words` gives each kind its word; of several that meet under
    one prefix, the earliest in `usual` speaks for the digits that begin no valid number.
    """

    def __init__(
        self,
        code: int,
        *,
        words: Mapping[str, str],
        usual: tuple[str, ...],
        max_digits: int,
    ) -> None:
        self._code = code
        self._usual = usual
        self._max_digits = max_digits
        self._machine = Machine()
        self._countries = COUNTRY_CODE_TO_REGION_CODE[code]
        self._regions = [self._region(country, words) for country in self._countries]
        self._counts: dict[tuple[int, int], Counter[Label]] = {}
        self._labels: dict[tuple[int, int], frozenset[Label]] = {}

    def ranges(self) -> list[Range]:
        """The rows, by prefix; the first is the calling code's own."""
        return list(self._walk("", START, None))

    def _region(self, country: str, words: Mapping[str, str]) -> Region:
        metadata = _metadata(self._code, country)
        leading = metadata.leading_digits
        beginning = self._machine.accept_beginning(leading) if leading else None
        patterns = tuple(self._patterns(metadata, words))
        return Region(country, beginning, patterns)

    def _patterns(self, metadata: PhoneMetadata, words: Mapping[str, str]) -> Iterator[Pattern]:
        general = metadata.general_desc
        assert general is not None, "every region has a general description"
        for kind in KINDS:
            kept = getattr(metadata, kind)
            if kept is None or not kept.national_number_pattern:
                continue
            lengths = frozenset(kept.possible_length or general.possible_length)
            yield Pattern(self._machine.accept(kept.national_number_pattern), lengths, words[kind])

    def _walk(self, digits: str, state: int, inherited: Label | None) -> Iterator[Range]:
        labels = self._labels_below(state, len(digits))
        if not labels:
            return
        label = self._usual_label(labels, inherited)
        if label != inherited:
            yield Range(f"{self._code}{digits}", label)
        if len(labels) > 1:
            for digit in DIGITS:
                yield from self._walk(digits + digit, self._machine.read(state, digit), label)

    def _usual_label(self, labels: frozenset[Label], inherited: Label | None) -> Label:
        """The country already in force if it is among them, else the first of the calling code's;
        then its most usual word.
        """
        countries = {label.country for label in labels}
        known = [inherited.country] if inherited else []
        country = next(c for c in (*known, *self._countries) if c in countries)
        word = next(w for w in self._usual if Label(country, w) in labels)
        return Label(country, word)

    def _labels_below(self, state: int, length: int) -> frozenset[Label]:
        """The labels that prefixes can tell apart from here on."""
        key = (state, length)
        if key not in self._labels:
            self._labels[key] = self._find_labels(state, length)
        return self._labels[key]

    def _find_labels(self, state: int, length: int) -> frozenset[Label]:
        counts = self._count_below(state, length)
        if len(counts) <= 1:
            return frozenset(counts)
        if length < self._max_digits:
            longer = (self._machine.read(state, digit) for digit in DIGITS)
            found = frozenset[Label]().union(*(self._labels_below(s, length + 1) for s in longer))
            if found:
                return found
        return frozenset([max(sorted(counts), key=counts.__getitem__)])

    def _count_below(self, state: int, length: int) -> Counter[Label]:
        """How many numbers of each label go through a state or end there."""
        if not state or length > _MAX_NATIONAL_DIGITS:
            return Counter()
        key = (state, length)
        if key not in self._counts:
            self._counts[key] = self._count(state, length)
        return self._counts[key]

    def _count(self, state: int, length: int) -> Counter[Label]:
        counts: Counter[Label] = Counter()
        label = self._label(state, length)
        if label is not None:
            counts[label] = 1
        branches = Counter(self._machine.read(state, digit) for digit in DIGITS)
        for branch, times in branches.items():
            for longer, count in self._count_below(branch, length + 1).items():
                counts[longer] += count * times
        return counts

    def _label(self, state: int, length: int) -> Label | None:
        """As the library does: the first region that claims the number, by its first digits or by a
        pattern.
        """
        for region in self._regions:
            if region.beginning is not None and not region.beginning & state:
                continue
            word = region.word(state, length)
            if word is not None:
                return Label(region.country, word)
            if region.beginning is not None:
                return None
        return None


def _metadata(code: int, country: str) -> PhoneMetadata:
    found = (
        PhoneMetadata.metadata_for_nongeo_region(code)
        if country == NO_COUNTRY
        else PhoneMetadata.metadata_for_region(country)
    )
    assert found is not None, f"no metadata for {country}"
    return found
