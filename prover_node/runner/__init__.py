"""Container runners: one interface (:mod:`.base`), one file a backend."""
