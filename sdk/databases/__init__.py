"""What the client knows of databases: the marker table, the inbox, and one module for each stack.

A stack's module is imported only when a connection, pool or engine of it is met, so none of them must be installed.
"""
