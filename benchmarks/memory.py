"""Peak memory of a federation with 10 and with 1,000 clients on the same data, each in a process of its own.

python benchmarks/memory.py
"""

from __future__ import annotations

import resource
import subprocess
import sys


def train(clients: int) -> None:
    import fucore as fu

    data = fu.load("mnist5k")
    fed = fu.Federation(data, fu.partition.iid(data.train.labels, clients), store=None)
    run = fed.train(2)
    print(
        f"{clients:5d} clients: peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB, {run.cost.seconds / 2:.2f} s a round"
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        train(int(sys.argv[1]))
    else:
        for clients in (10, 100, 1000):
            subprocess.run([sys.executable, __file__, str(clients)], check=True)
