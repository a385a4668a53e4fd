"""The scripts of the ledger, one decision each, and the texts they share (book.lua and others, see store.py)."""
