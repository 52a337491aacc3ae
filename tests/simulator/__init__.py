"""A cluster in one thread under virtual time: one seed is one history, to the last byte."""
