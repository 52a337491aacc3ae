"""The face: what meets a caller or a clock."""
