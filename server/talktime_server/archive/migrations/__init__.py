"""The archive's tables, step by step. Alembic runs env.py, and that runs versions/ in its order:

- 0001_journal.py: the journal, and what is read off it
"""
