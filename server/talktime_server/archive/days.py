"""Days of UTC, as reports count them: by the millisecond that each begins with."""

from datetime import UTC, datetime

DAY_MS = 86_400_000


def day_of(at_ms: int) -> int:
    """The beginning of an instant's day."""
    return at_ms - at_ms % DAY_MS


def day_text(at_ms: int) -> str:
    """An instant's day, as "2026-11-21"."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).date().isoformat()
