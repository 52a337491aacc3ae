"""Whether what clients saw could have happened in some order of instants."""
