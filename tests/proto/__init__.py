"""The wire: its promises to programs we do not know."""
