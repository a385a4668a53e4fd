"""One machine that reads digits for all the patterns of a numbering plan at once.

The question is about prefixes: of all the numbers that begin with these digits, which kinds are
there? A regular expression cannot answer that, a positions automaton can. Every digit place of
every pattern is a position, and a state is the set of positions that the last digit may have
filled, kept as the bits of an int.
"""

import re
from dataclasses import dataclass
from typing import TypeAlias

DIGITS = "0123456789"
START = 1

_TOKEN = re.compile(r"\\d|\[[0-9-]+\]|\d|\(\?:|[()|?]|\{\d+(?:,\d+)?\}")

Choice: TypeAlias = "tuple[tuple[Piece, ...], ...]"
Atom: TypeAlias = "str | Choice"


@dataclass(frozen=True, slots=True)
class Piece:
    """One digit (the digits it may be) or a choice of sequences, and how often it may come."""

    atom: Atom
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Ends:
    """The positions that may come first and last in a part of a pattern, and whether it may be
    empty.
    """

    first: int
    last: int
    empty: bool


class Machine:
    """Reads digits; add every pattern before the first digit is read."""

    def __init__(self) -> None:
        self._follow = [0]
        self._places = dict.fromkeys(DIGITS, 0)
        self._next: dict[int, int] = {}

    def accept(self, pattern: str) -> int:
        """Adds a pattern; a number matches it when the state after its last digit shares a bit with
        what is returned.
        """
        ends = self._choice(parse(pattern))
        self._link(START, ends.first)
        return ends.last

    def accept_beginning(self, pattern: str) -> int:
        """Adds a pattern that any digits may follow."""
        last = self.accept(pattern)
        rest = self._digit(DIGITS)
        self._link(last | rest.last, rest.first)
        return last | rest.last

    def read(self, state: int, digit: str) -> int:
        """The state after one more digit; 0 when no pattern goes on like that."""
        following = self._next.get(state)
        if following is None:
            following = self._next[state] = self._following(state)
        return following & self._places[digit]

    def _following(self, state: int) -> int:
        union = 0
        for position in _bits(state):
            union |= self._follow[position]
        return union

    def _choice(self, choice: Choice) -> Ends:
        branches = [self._sequence(sequence) for sequence in choice]
        first = last = 0
        for branch in branches:
            first |= branch.first
            last |= branch.last
        return Ends(first, last, any(branch.empty for branch in branches))

    def _sequence(self, sequence: tuple[Piece, ...]) -> Ends:
        sofar = Ends(0, 0, True)
        for piece in sequence:
            for repeat in range(piece.most):
                sofar = self._append(sofar, piece, optional=repeat >= piece.least)
        return sofar

    def _append(self, sofar: Ends, piece: Piece, *, optional: bool) -> Ends:
        part = self._part(piece.atom)
        skippable = optional or part.empty
        self._link(sofar.last, part.first)
        return Ends(
            sofar.first | (part.first if sofar.empty else 0),
            part.last | (sofar.last if skippable else 0),
            sofar.empty and skippable,
        )

    def _part(self, atom: Atom) -> Ends:
        return self._digit(atom) if isinstance(atom, str) else self._choice(atom)

    def _digit(self, digits: str) -> Ends:
        position = 1 << len(self._follow)
        self._follow.append(0)
        for digit in digits:
            self._places[digit] |= position
        return Ends(position, position, False)

    def _link(self, earlier: int, later: int) -> None:
        for position in _bits(earlier):
            self._follow[position] |= later


def matches(pattern: str, longest: int) -> list[str]:
    """Every string of digits that a pattern matches, up to a length, the shortest first."""
    machine = Machine()
    ends = machine.accept(pattern)
    found: list[str] = []
    reached = [("", START)]
    for _ in range(longest):
        longer = ((text + d, machine.read(state, d)) for text, state in reached for d in DIGITS)
        reached = [(text, state) for text, state in longer if state]
        found += [text for text, state in reached if state & ends]
    return found


def parse(pattern: str) -> Choice:
    """Reads the part of the regular expression language that numbering plans are written in."""
    tokens = _TOKEN.findall(pattern)
    assert "".join(tokens) == pattern, f"a pattern says more than this parser knows: {pattern}"
    choice, end = _parse_choice(tokens, 0)
    assert end == len(tokens), f"a bracket too many: {pattern}"
    return choice


def _parse_choice(tokens: list[str], at: int) -> tuple[Choice, int]:
    sequences: list[list[Piece]] = [[]]
    while at < len(tokens) and tokens[at] != ")":
        if tokens[at] == "|":
            sequences.append([])
            at += 1
        else:
            piece, at = _parse_piece(tokens, at)
            sequences[-1].append(piece)
    return tuple(tuple(sequence) for sequence in sequences), at


def _parse_piece(tokens: list[str], at: int) -> tuple[Piece, int]:
    atom: Atom
    if tokens[at] == "(?:":
        atom, at = _parse_choice(tokens, at + 1)
    else:
        atom = _digits(tokens[at])
    least, most = _repeats(tokens[at + 1] if at + 1 < len(tokens) else "")
    return Piece(atom, least, most), at + (1 if (least, most) == (1, 1) else 2)


def _digits(token: str) -> str:
    if token == r"\d":
        return DIGITS
    return "".join(digit for digit in DIGITS if re.fullmatch(token, digit))


def _repeats(token: str) -> tuple[int, int]:
    if token == "?":
        return 0, 1
    if not token.startswith("{"):
        return 1, 1
    bounds = token[1:-1].split(",")
    return int(bounds[0]), int(bounds[-1])


def _bits(state: int) -> list[int]:
    found = []
    while state:
        lowest = state & -state
        found.append(lowest.bit_length() - 1)
        state ^= lowest
    return found
