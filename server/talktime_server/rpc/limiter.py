"""How much may be in flight: refused at the limit, never queued, and settles and releases are refused last.

It counts calls whose message is read and whose caller is known, so that nobody holds a slot by sending half a call.
"""

from dataclasses import dataclass

from talktime_server.failure import TooMuch
from talktime_server.rpc.shapes import Lane

RETRY_AFTER_S = 0.1


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be in flight in one process. Operations of Exchange streams are counted apart, as streams have
    their own back-pressure; `kept_percent` is what only settles and releases may use. `streams_per_tenant` holds for
    those of AccountService, which know their tenant."""

    in_flight: int = 1024
    in_flight_per_tenant: int = 512
    exchange_in_flight: int = 8192
    exchange_in_flight_per_tenant: int = 4096
    streams: int = 256
    streams_per_tenant: int = 64
    kept_percent: int = 20


class Limiter:
    """Counts what is in flight, whole and by tenant."""

    def __init__(self, most: int, most_per_tenant: int, kept_percent: int) -> None:
        self.in_flight = 0
        self._tenants: dict[str, int] = {}
        self._ordinary = (_less(most, kept_percent), _less(most_per_tenant, kept_percent))
        self._ending = (most, most_per_tenant)

    def enter(self, tenant: str, lane: Lane) -> None:
        """Takes a slot, or refuses. An empty tenant counts for the process alone."""
        most, most_per_tenant = self._ending if lane is Lane.ENDING else self._ordinary
        if self.in_flight >= most:
            raise TooMuch("OVERLOADED", "too much is in flight", retry_after_s=RETRY_AFTER_S)
        if tenant:
            held = self._tenants.get(tenant, 0)
            if held >= most_per_tenant:
                text = "too much of this tenant is in flight"
                raise TooMuch("TENANT_OVERLOADED", text, retry_after_s=RETRY_AFTER_S)
            self._tenants[tenant] = held + 1
        self.in_flight += 1

    def leave(self, tenant: str) -> None:
        """Gives a slot back."""
        self.in_flight -= 1
        assert self.in_flight >= 0
        if tenant:
            held = self._tenants[tenant] - 1
            if held:
                self._tenants[tenant] = held
            else:
                # Forgotten at zero, so that the table never outgrows what is in flight.
                del self._tenants[tenant]


def _less(most: int, percent: int) -> int:
    return max(1, most - most * percent // 100)
