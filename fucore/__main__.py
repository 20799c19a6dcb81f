"""``python -m fucore``: show or prune the stored runs."""

from .store import main

main()
