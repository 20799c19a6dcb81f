"""``python -m fucore``: show or prune the stored runs."""

import argparse
import sys
import warnings

from .errors import FucoreError
from .runs.store import Store


def main(arguments=None) -> int:
    """What the command line says; returns 1 if something could not be read or deleted, 2 if nothing could be done at all."""
    parser = argparse.ArgumentParser(prog="python -m fucore", description="Show or prune the stored runs.")
    commands = parser.add_subparsers(dest="command")
    pruning = commands.add_parser("prune", help="delete runs not used for some days")
    pruning.add_argument("--days", type=float, default=30.0, help="0 deletes everything (default 30)")
    options = parser.parse_args(arguments)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            store = Store()
            if options.command == "prune":
                print(f"freed {store.prune(days=options.days) / 1e6:.1f} MB")
            print(store)
        except FucoreError as error:
            print(error, file=sys.stderr)
            return 2
    for sentence in dict.fromkeys(str(warning.message) for warning in told):
        print(sentence, file=sys.stderr)
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
