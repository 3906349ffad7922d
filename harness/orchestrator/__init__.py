"""The orchestrator: runs a plan. The only room that touches files, processes, Docker and the network."""
