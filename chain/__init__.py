"""The deterministic state machine: bytes in, bytes out, no I/O, no clock."""
