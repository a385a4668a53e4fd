"""A dict with a bound: what was not used for long makes room."""

from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")

# Of what makes room, so many are freed with each value that comes: all of them at once would take
# milliseconds, and with more than one they are gone before others follow.
FREED_AT_ONCE = 2


class Recent(Generic[Key, Value]):
    """Keeps the `most` values that were used last, and some older ones, up to twice as many in all.
    To be that cheap, it remembers no order: values are in use or resting. One that is looked up is in
    use; when `most` are, all of them begin to rest, in place of those that rested.
    """

    __slots__ = ("_in_use", "_leaving", "_most", "_resting")

    def __init__(self, most: int) -> None:
        self._most = most
        self._in_use: dict[Key, Value] = {}
        self._resting: dict[Key, Value] = {}
        self._leaving: dict[Key, Value] = {}

    def __len__(self) -> int:
        return len(self._in_use) + len(self._resting)

    def get(self, key: Key) -> Value | None:
        """The value of a key, which counts as use."""
        found = self._in_use.get(key)
        if found is None:
            found = self._resting.get(key)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: Key, value: Value) -> None:
        """Keeps a value, in use."""
        self._resting.pop(key, None)
        if len(self._in_use) >= self._most and key not in self._in_use:
            self._in_use, self._resting, self._leaving = {}, self._in_use, self._resting
        self._in_use[key] = value
        for _ in range(min(FREED_AT_ONCE, len(self._leaving))):
            self._leaving.popitem()
