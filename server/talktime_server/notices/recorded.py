"""A notice as admins see it later: what was told, and what became of it. record.py finds it."""

from dataclasses import dataclass

from talktime_server.words import DeliveryState, NoticeKind


@dataclass(frozen=True, slots=True)
class Delivered:
    """One delivery of a notice, so far; `next_ms` is 0 when it is not tried again."""

    recipient: str
    mail: bool
    state: DeliveryState
    attempts: int
    failure: str
    next_ms: int


@dataclass(frozen=True, slots=True)
class Recorded:
    """A notice, in a sentence, and its deliveries."""

    notice_id: str
    kind: NoticeKind
    summary: str
    noticed_ms: int
    deliveries: tuple[Delivered, ...]

    @property
    def position(self) -> str:
        """Its place in the list, as `page` takes it."""
        return f"{self.noticed_ms} {self.notice_id}"
