"""A bare trial of the path of a transaction, to compare the product with.

Three processes on this machine; the leader is fixed, nothing is recovered, nothing is indexed. A frame comes over a
gRPC stream, its checksum is computed and its records are parsed, it is appended to a segment file on each node and
synced there, and answered once a majority has it; then the frame of decisions goes the same way. What the product does
beyond this costs more than this: the figure is the bound to aim at, not a claim.
"""
