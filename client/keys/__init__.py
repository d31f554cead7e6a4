"""Keys: made, derived, kept encrypted, and used to sign."""
