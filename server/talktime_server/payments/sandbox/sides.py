"""What the two APIs of the sandbox have in common, and how each of them is told apart."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.requests import Request

from talktime_server.payments.sandbox.bank import Charged, Order

ACTION_URL = "https://bank.example.com/confirm"


class BadOrder(Exception):
    """A request that the API does not take; the text is for whoever tries the sandbox by hand."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON answer, kept under its key."""

    status: int
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Letter:
    """A webhook to send: signed anew each time, with the same id."""

    path: str
    event_id: str
    body: bytes


class Side(Protocol):
    """One of the two APIs."""

    # Stripe gives a failed try's 500 again to its key, a billing service the charge.
    keeps_failures: bool

    def may(self, request: Request) -> bool:
        """Whether the request has the right credentials."""

    def read(self, request: Request, body: bytes) -> Order:
        """The charge that is asked for. Raises BadOrder."""

    def answer(self, charged: Charged) -> Answer:
        """How a charge stands, as the answer to its order."""

    def error(self, status: int, code: str) -> Answer:
        """A failure."""

    def letter(self, charged: Charged) -> Letter:
        """The webhook that tells how a charge stands."""

    def reversal(self, charged: Charged, kind: str) -> Letter:
        """The webhook of the last refund ("refund") or dispute ("dispute")."""

    def signed(self, letter: Letter) -> dict[str, str]:
        """The headers of a webhook."""
