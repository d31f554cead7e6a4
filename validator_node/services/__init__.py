"""Query servers of a node: gRPC with reflection, REST at the Cosmos paths, and metrics."""
