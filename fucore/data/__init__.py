"""What is learned from, who holds it, and what must be forgotten."""
