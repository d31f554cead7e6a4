"""Capacity tests: the chain's own tasks, by which provers show what they claim to have (protocol §5)."""
