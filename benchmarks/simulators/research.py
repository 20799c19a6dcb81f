"""(a) The loop everyone writes: a DataLoader per client per round, a deep-copied model per client, averaged state dicts."""

import copy

import torch
from task import Clock, from_command_line, network, report
from torch.utils.data import DataLoader, Subset, TensorDataset


def local_training(model, dataset, task):
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=task.lr)
    loader = DataLoader(dataset, batch_size=task.batch, shuffle=True)
    for _ in range(task.epochs):
        for images, labels in loader:
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
    return copy.deepcopy(model.state_dict())


def accuracy_of(model, dataset):
    model.eval()
    with torch.no_grad():
        correct = sum(int((model(images).argmax(1) == labels).sum()) for images, labels in DataLoader(dataset, batch_size=500))
    return correct / len(dataset)


def federated_averaging(task, train, test, clock):
    clients = [Subset(train, indices.tolist()) for indices in task.indices(len(train))]
    model, seconds = network(task.model, train[0][0].shape, 10), []
    for _ in range(task.rounds):
        total = None
        for client in clients:
            state = local_training(copy.deepcopy(model), client, task)
            if total is None:
                total = {name: value / len(clients) for name, value in state.items()}
            else:
                for name, value in state.items():
                    total[name] += value / len(clients)
        model.load_state_dict(total)
        accuracy = accuracy_of(model, test)
        seconds.append(clock())
    return seconds, accuracy


def main():
    task = from_command_line()
    torch.manual_seed(0)
    x, y, u, v = task.data()
    train, test, clock = TensorDataset(x, y), TensorDataset(u, v), Clock()
    results = [federated_averaging(task, train, test, clock) for _ in range(task.runs)]
    seconds = results[0][0] if task.runs == 1 else [sum(seconds) for seconds, _ in results]
    report(seconds, results[-1][1])


main()
