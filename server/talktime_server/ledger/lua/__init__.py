"""The scripts of the ledger, one decision each, and the text they share (book.lua)."""
