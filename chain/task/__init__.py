"""Tasks: from the run transaction to the published proof (protocol §6.1 to §6.4)."""
