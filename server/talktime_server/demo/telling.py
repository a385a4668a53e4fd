"""How the demo is told: each answer in a few words, each scene as a small table, and the proof at the end."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from talktime import (
    Authorization,
    Batch,
    Conservation,
    Extension,
    Funding,
    Payer,
    Quote,
    Release,
    Settlement,
    Source,
    SourceKind,
)
from talktime_server.commands.accounts import PROOF_COLUMNS, VERDICTS, proof_row
from talktime_server.commands.exits import typed
from talktime_server.commands.explaining import checks
from talktime_server.commands.money import decimal_of
from talktime_server.commands.output import console, ruled_table, table, talk_time

if TYPE_CHECKING:
    from talktime_server.supervisor import Supervisor

# Together they fit a terminal of 80 columns.
_WHAT, _ANSWER, _MONEY = 31, 28, 8


@dataclass(frozen=True, slots=True)
class Step:
    """What happened, what came of it, and the tenant's free money around it; None where it was not asked for."""

    what: str
    answer: str
    expected: str
    before_micros: int | None
    after_micros: int | None
    moved_as_expected: bool

    @property
    def as_expected(self) -> bool:
        """Whether the answer and the money came out as they should."""
        return self.answer == self.expected and self.moved_as_expected


def worded(answer: object) -> str:
    """An answer in a few words; several answers as a count of their first words."""
    match answer:
        case Authorization() | Extension() | Quote():
            return _verdict(answer)
        case Batch():
            return f"{answer.authorized_legs} of {len(answer.verdicts)} granted"
        case Settlement():
            return _receipt(answer)
        case Release():
            return "given back" + _again(answer.replayed)
        case Funding():
            return "added" + _again(answer.replayed)
        case Payer():
            return "known"
        case list():
            counted = Counter(worded(each).split()[0] for each in answer)
            return ", ".join(f"{count} {word}" for word, count in sorted(counted.items()))
        case _:
            return str(answer)


def _verdict(answer: Authorization | Extension | Quote) -> str:
    again = "" if isinstance(answer, Quote) else _again(answer.replayed)
    if not answer.authorized:
        return f"refused {answer.reason}{again}"
    said = f"granted {talk_time(answer.granted_seconds)}"
    last = ", the last" if answer.final_grant else ""
    return f"{said}{last}{_paid_by(answer.sources)}{again}"


def _paid_by(sources: Sequence[Source]) -> str:
    """What pays, where it is not money alone."""
    kinds = {source.kind for source in sources}
    if SourceKind.POOL in kinds:
        return ", from a pool" if len(kinds) == 1 else ", pool+money"
    return "" if SourceKind.CREDITS in kinds else ", for nothing"


def _receipt(answer: Settlement) -> str:
    taken = [charge.seconds for charge in answer.charges if charge.kind is SourceKind.POOL]
    # A pool gives whole minutes, a started one counted in full.
    pooled = f"{sum(-(-seconds // 60) for seconds in taken)} min" if taken else ""
    paid = "money" if pooled and answer.charged_micros else ""
    nothing = "" if pooled or answer.charged_micros else "nothing"
    said = " + ".join(each for each in (pooled, paid, nothing) if each)
    return (
        f"charged {said}".rstrip()
        + (", late" if answer.late else "")
        + (", unreserved" if answer.unreserved else "")
        + _again(answer.replayed)
    )


def _again(replayed: bool) -> str:
    return ", as before" if replayed else ""


class Teller:
    """Prints the story, and counts what came out as it should."""

    def __init__(self, *, color: bool) -> None:
        self._console = console(color=color)
        self._began_s = time.monotonic()
        self._steps = 0
        self._wrong = 0
        self._conserved = False

    def open(self, supervisor: "Supervisor") -> None:
        """Says what runs."""
        self._say(
            "talktime decides calls, holds the money for them, and settles what was used.", "bold"
        )
        self._say(
            f"A service of its own is up: engine {supervisor.engine}, {supervisor.choice.why}"
        )
        self._say("Money is in dollars; a tenant's free money is what no call has set aside.")

    def tell(
        self, title: str, told: str, steps: Sequence[Step], quotes: Sequence[Quote] = ()
    ) -> None:
        """Shows a scene that was played, and what the quotes in it explain."""
        self._console.print()
        self._console.print(Text.assemble((title, "bold cyan"), ("  " + told, "dim")))
        drawn = ruled_table()
        drawn.add_column("What happens", width=_WHAT)
        drawn.add_column("Answer", width=_ANSWER)
        drawn.add_column("Free", width=_MONEY, justify="right")
        drawn.add_column("After", width=_MONEY, justify="right")
        drawn.add_column("", width=1)
        for step in steps:
            self._count(step.as_expected)
            drawn.add_row(*_cells(step))
        self._console.print(drawn)
        for quote in quotes:
            self._console.print(checks("What the quote says", quote)())
        for step in steps:
            if not step.as_expected:
                self._say(f"✗ {step.what}: {_wrong(step)}", "bold red")

    def prove(self, proofs: Mapping[str, Conservation]) -> None:
        """Shows that no money was lost or made, for every tenant."""
        self._conserved = all(proof.conserved for proof in proofs.values())
        self._console.print()
        self._say("Where the money is", "bold cyan")
        rows = [(tenant, *proof_row(proof)) for tenant, proof in proofs.items()]
        self._console.print(table("", ("Tenant", *PROOF_COLUMNS), rows)())
        self._say(VERDICTS[self._conserved], "" if self._conserved else "bold red")

    def close(self) -> bool:
        """Says how it came out, and returns whether all was as it should be."""
        took = f"{time.monotonic() - self._began_s:.1f} s"
        self._console.print()
        if self._wrong or not self._conserved:
            self._say(
                f"{self._wrong} of {self._steps} steps came out otherwise. {took}.", "bold red"
            )
            return False
        self._say(f"All {self._steps} steps came out as they should, in {took}.", "bold green")
        self._say(f"Next: {typed('serve')}, and {typed('--help')} for the commands.")
        return True

    def _say(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style=style))

    def _count(self, as_expected: bool) -> None:
        self._steps += 1
        self._wrong += not as_expected


def _cells(step: Step) -> tuple[Text, ...]:
    good = step.as_expected
    moved = step.before_micros != step.after_micros
    return (
        Text(step.what),
        Text(step.answer, style=_style(step)),
        Text(_amount(step.before_micros), style="dim"),
        Text(_amount(step.after_micros), style="bold" if moved else "dim"),
        Text("✓" if good else "✗", style="green" if good else "bold red"),
    )


def _wrong(step: Step) -> str:
    if step.answer != step.expected:
        return f"the answer should have been: {step.expected}"
    return "the money should have moved by the deck's price, and by nothing else"


def _style(step: Step) -> str:
    word = step.answer.split()[0]
    return {"refused": "yellow", "error": "red"}.get(word, "green")


def _amount(micros: int | None) -> str:
    return "" if micros is None else decimal_of(micros)
