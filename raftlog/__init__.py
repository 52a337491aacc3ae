"""The memory: what makes a decision of the rules survive."""
