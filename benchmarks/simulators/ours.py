"""(c) fucore, with its defaults."""

import functools

from task import Clock, from_command_line, network, report

import fucore as fu


def main():
    task = from_command_line()
    data = fu.load(f"npz:{task.archive}")
    clients = fu.Partition(tuple(task.indices(len(data.train))))
    fed = fu.Federation(
        data,
        clients,
        model=functools.partial(network, task.model),
        local=fu.LocalTraining(epochs=task.epochs, batch=task.batch, lr=task.lr),
        preprocessing=fu.Preprocessing(normalise=False),
        precision=task.precision,
        store=None,
    )
    seconds, weights, clock = [], None, Clock()
    if task.runs > 1:
        runs = fed.train_many(task.rounds, range(task.runs))
        return report([clock() / task.runs] * task.runs, runs[-1].history[-1]["test_accuracy"])
    for index in range(task.rounds):
        run = fed.train(1, seed=0, start=weights, first_round=index)
        weights = run.weights
        seconds.append(clock())
    report(seconds, run.history[-1]["test_accuracy"])


main()
