"""The hand: what runs in the process of the user. `import tallymq`."""
