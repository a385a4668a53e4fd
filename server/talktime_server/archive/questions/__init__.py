"""What the archive is asked, in SQL. Loaded with the first question, where a connection is open (see database.py)."""
