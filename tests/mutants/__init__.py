"""Deliberate bugs, one at a time, that the tests must notice."""
