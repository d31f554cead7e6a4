"""Committees and their votes, commit then reveal (protocol §6.5 to §6.7)."""
