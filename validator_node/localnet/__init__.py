"""A whole network on one machine: real validators, real provers and a blob server, each a process of its own."""
