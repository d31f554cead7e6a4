"""The application's side of ABCI 2.0: a server that CometBFT connects to over a unix socket."""
