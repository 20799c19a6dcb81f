"""``python -m fucore``: show or prune the stored runs."""

import argparse

from .runs.store import Store


def main(arguments=None) -> None:
    parser = argparse.ArgumentParser(prog="python -m fucore", description="Show or prune the stored runs.")
    commands = parser.add_subparsers(dest="command")
    pruning = commands.add_parser("prune", help="delete runs not used for some days")
    pruning.add_argument("--days", type=float, default=30.0, help="0 deletes everything (default 30)")
    options = parser.parse_args(arguments)
    store = Store()
    if options.command == "prune":
        print(f"freed {store.prune(days=options.days) / 1e6:.1f} MB")
    print(store)


if __name__ == "__main__":
    main()
