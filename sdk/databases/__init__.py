"""What the client knows of databases: the marker table and the inbox."""
