"""The wire: what clients, peers and the log say. Stubs are generated and committed; `make stubs` renews them."""
