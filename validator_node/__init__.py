"""Everything impure around the chain: ABCI server, store, CometBFT supervisor, queries, localnet."""
