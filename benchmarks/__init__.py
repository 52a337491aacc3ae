"""Figures of this machine: the product on three nodes, and a bare trial of the same path beside it."""
