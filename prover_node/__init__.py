"""The prover operator's daemon: decisions, effects, runners, storage."""
