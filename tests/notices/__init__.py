"""Notices: what is told, to whom, in which words, and that it arrives once somebody takes it."""
