"""From a question to an answer: number, sources, price, ledger."""
