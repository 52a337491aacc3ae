"""The tests: scenarios and a folder for each room, workloads and faults on real clusters."""
