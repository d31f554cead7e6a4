"""What users and both nodes share: RPC and wallet, the Python SDK, the `mill` command line."""
