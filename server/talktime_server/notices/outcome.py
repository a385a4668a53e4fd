"""What became of one try to deliver a notice, and when the next one is due (reliability.md C22)."""

import random
from dataclasses import dataclass

# Waits between ten tries: a little over three days.
WAITS_S = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
MOST_TRIES = len(WAITS_S) + 1
JITTER = 0.1  # so that what failed together does not come back together
MOST_FAILURE_CHARS = 200


@dataclass(frozen=True, slots=True)
class Outcome:
    """`failure` says why it was not taken, "" when it was; it never has the recipient's words in it.
    `final`: no later try can succeed. `gone`: the recipient wants nothing any more.
    """

    failure: str = ""
    final: bool = False
    gone: bool = False

    @property
    def taken(self) -> bool:
        """Whether the recipient has it."""
        return not self.failure


TAKEN = Outcome()


def wait_ms(tries: int) -> int:
    """How long after a failed try the next one is due, once there were so many; 0 after the last."""
    if tries >= MOST_TRIES:
        return 0
    return int(WAITS_S[tries - 1] * 1000 * random.uniform(1 - JITTER, 1 + JITTER))
