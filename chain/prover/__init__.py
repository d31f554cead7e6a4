"""Provers: who is bonded, who may be drawn, and what each one owes (protocol §5)."""
