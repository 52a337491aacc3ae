"""The example in Go, from its proto files to its last line."""
