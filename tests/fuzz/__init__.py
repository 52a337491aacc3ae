"""Fuzzers of everything that reads bytes of a peer, of a client or of a disk."""
