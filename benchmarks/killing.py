"""Kill -9 a training run at ten random moments, let it resume each time, and compare with an undisturbed run.

python benchmarks/killing.py
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import tempfile
import time

TRAIN = """
import sys, fucore as fu, fucore.federation.rounds as rounds
rounds.CHECKPOINT_SECONDS = 0.2
data = fu.load("mnist5k")
fed = fu.Federation(data, fu.partition.dirichlet(data.train.labels, 10, 0.5), store=fu.Store(sys.argv[1]))
print("started", flush=True)
print(fed.train(30, seed=1).key)
"""


def start(folder):
    return subprocess.Popen([sys.executable, "-c", TRAIN, folder], stdout=subprocess.PIPE, text=True)


def main() -> None:
    import torch

    import fucore as fu

    calm, killed = tempfile.mkdtemp(), tempfile.mkdtemp()
    key = start(calm).communicate()[0].split()[-1]
    rng, deaths = random.Random(0), 0
    while deaths < 10:
        victim = start(killed)
        victim.stdout.readline()
        time.sleep(rng.uniform(0.5, 5))
        if victim.poll() is not None:
            break
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        deaths += 1
        checkpoint = fu.Store(killed).load_checkpoint(key)
        print(f"killed {deaths}: checkpoint at round {checkpoint[1]['done'] if checkpoint else 0} of 30", flush=True)
    start(killed).communicate()
    one, other = fu.Store(calm).get(key), fu.Store(killed).get(key)
    print(
        f"after {deaths} deaths: same bits {torch.equal(one.weights, other.weights)}, left over {sorted(p.name for p in fu.Store(killed).root.iterdir())}"
    )


if __name__ == "__main__":
    main()
