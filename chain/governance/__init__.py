"""Changing the parameters (protocol §9)."""
