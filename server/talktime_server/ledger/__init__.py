"""The only rooms that know the store."""
