"""Built-in facts as CSV files, and the tool that derives some of them; README.md says from what."""
