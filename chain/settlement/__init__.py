"""How a task ends and who gets what (protocol §8)."""
