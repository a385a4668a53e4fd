"""The rows of a deck as a process keeps them: hundreds of thousands, in a few large pieces.

Numbers stand in columns, a text that many rows share stands once, and a row is found by its prefix.
A row takes some 120 bytes, a quarter of what it takes as objects; and as there are no objects for
it, nothing that looks through all objects gets slower by a deck.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence

# prefix, destination, rate and fee in micros, initial and increment in seconds, direction, origin
Row = tuple[str, str, int, int, int, int, str, str]

INBOUND = "IN"
AREA_DIGITS = 3
# So few at a time are let go that nobody waits for it (0.2 ms).
STEP_ROWS = 2_000

# The numbers of rows by prefix, and the lengths of all prefixes, the longest first. A caller's country
# stands before the prefix, as in "CA1800", where it makes the price.
Area = tuple[dict[str, int], list[int]]
NO_AREA: Area = ({}, [])


class Index:
    """Finds rows by prefix. `areas` are by the first three digits of the prefix; the one by no digits
    has the shorter prefixes. Many small dicts, because a large one that grows keeps everybody waiting
    (10 ms at 200,000 rows).
    """

    __slots__ = ("areas",)

    def __init__(self) -> None:
        self.areas: dict[str, Area] = {}

    def add(self, prefix: str, origin: str, number: int) -> bool:
        """Notes where a row is; False when another has its prefix and origin."""
        digits = prefix[:AREA_DIGITS]
        area = digits if len(digits) == AREA_DIGITS else ""
        rows, lengths = self.areas.get(area) or self.areas.setdefault(area, ({}, []))
        name = origin + prefix
        if len(prefix) not in lengths:
            lengths.append(len(prefix))
            lengths.sort(reverse=True)
        alone = name not in rows
        rows[name] = number
        return alone

    def near(self, digits: str) -> tuple[Area, Area]:
        """Where the rows of a number are, by its digits, the longest prefixes first."""
        areas = self.areas
        return areas.get(digits[:AREA_DIGITS], NO_AREA), areas.get("", NO_AREA)


class RateTable:
    """The rows of one deck. `double` is a prefix that stands in more than one of them, for the same
    direction and origin, of which the later row counts; empty where there is none.
    """

    __slots__ = ("_columns", "_destinations", "_places", "double", "inbound", "outbound")

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self.outbound = Index()
        self.inbound = Index()
        self.double = ""
        # Index of the destination, rate and fee in micros, initial and increment in seconds.
        self._columns = tuple(array(code) for code in "IIIHH")
        self._destinations: list[str] = []
        self._places: dict[str, int] = {}
        self.add(list(rows))

    def __len__(self) -> int:
        return len(self._columns[0])

    def add(self, rows: Sequence[Row]) -> None:
        """Adds rows behind those there are."""
        if not rows:
            return
        first = len(self)
        prefixes, destinations, *amounts, directions, origins = zip(*rows, strict=True)
        placed = self._placed(destinations)
        for column, values in zip(self._columns, (placed, *amounts), strict=True):
            column.extend(values)
        names = zip(prefixes, directions, origins, strict=True)
        for number, (prefix, direction, origin) in enumerate(names, first):
            index = self.inbound if direction == INBOUND else self.outbound
            if not index.add(prefix, origin, number):
                self.double = self.double or prefix

    def priced(self, number: int) -> tuple[str, int, int, int, int]:
        """What a row says: destination, rate and fee in micros, initial and increment in seconds."""
        place, per_minute, fee, initial, increment = self._columns
        destination = self._destinations[place[number]]
        return destination, per_minute[number], fee[number], initial[number], increment[number]

    def let_go(self) -> Iterator[None]:
        """Empties the table in steps, for one whose memory would take long to free at once."""
        left = 0
        for index in (self.outbound, self.inbound):
            while index.areas:
                _, (rows, _) = index.areas.popitem()
                left -= len(rows)
                if left < 0:
                    left = STEP_ROWS
                    yield

    def _placed(self, destinations: Sequence[str]) -> Iterator[int]:
        for destination in dict.fromkeys(destinations):
            if destination not in self._places:
                self._places[destination] = len(self._destinations)
                self._destinations.append(destination)
        return map(self._places.__getitem__, destinations)
