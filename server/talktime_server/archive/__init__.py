"""What happened, kept in SQL for years: the journal's lines, and what is read off them."""
