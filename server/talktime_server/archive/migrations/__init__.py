"""The archive's tables, step by step. Alembic runs env.py, and that runs versions/ in its order:

- 0001_journal.py: the journal, and what is read off it
- 0002_notices.py: what admins are told, and what became of it
"""
