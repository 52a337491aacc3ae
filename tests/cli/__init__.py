"""The command line: what it prints, how it exits, and what it does to a real node."""
