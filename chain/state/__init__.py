"""The state layer: ordered bytes, nested writes, typed collections and the tree that commits to them (protocol §3)."""
