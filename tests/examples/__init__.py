"""The examples do what they say, and see it when they do not."""
