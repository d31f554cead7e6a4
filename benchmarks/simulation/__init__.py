"""The real state machine under thousands of simulated nodes, in virtual time: who earns what, and what pays.

`make simulate` runs all of it and writes the tables and plots of docs/simulation.md.
"""
