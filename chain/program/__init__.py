"""Programs: immutable pairs of a prover and a verifier container (protocol §4)."""
