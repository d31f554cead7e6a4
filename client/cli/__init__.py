"""The `mill` command line: a thin shell over the SDK."""
