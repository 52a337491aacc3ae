"""What several tests need: servers of their own, clusters, places on disk. Every process it starts, it ends."""
