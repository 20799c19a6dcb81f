"""Instruments that look inside models: importance, loss along paths, embeddings."""
