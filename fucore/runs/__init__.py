"""Runs as values: what they are, what they depend on, where they are kept, many of them."""
