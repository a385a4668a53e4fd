"""What admins are told: what happened, whom that concerns, the texts, and their delivery by mail and webhook."""
