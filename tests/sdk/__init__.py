"""The client: its parts, its databases, and the whole of it against real nodes."""
