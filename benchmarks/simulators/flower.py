"""(b) Flower's simulation engine as its documentation does it: one Ray actor per core, each with one thread. Needs ``flwr[simulation]``."""

import os

import torch
from flwr.client import ClientApp, NumPyClient
from flwr.common import Context, ndarrays_to_parameters
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.strategy import FedAvg
from flwr.simulation import run_simulation
from task import Clock, from_command_line, network, report
from torch.utils.data import DataLoader, Subset, TensorDataset

task = from_command_line()
_data = None


def data():
    """Loaded once in each process."""
    global _data
    if _data is None:
        _data = task.data()
    return _data


def get(model):
    return [value.numpy() for value in model.state_dict().values()]


def put(model, arrays):
    model.load_state_dict(dict(zip(model.state_dict(), map(torch.tensor, arrays))))
    return model


def client_fn(context: Context):
    torch.set_num_threads(1)
    x, y, *_ = data()

    class Client(NumPyClient):
        def fit(self, parameters, config):
            model = put(network(task.model, x.shape[1:], 10), parameters)
            indices = task.indices(len(x))[int(context.node_config["partition-id"])].tolist()
            loader = DataLoader(Subset(TensorDataset(x, y), indices), batch_size=task.batch, shuffle=True)
            optimizer = torch.optim.Adam(model.parameters(), lr=task.lr)
            for _ in range(task.epochs):
                for images, labels in loader:
                    optimizer.zero_grad()
                    loss = torch.nn.functional.cross_entropy(model(images), labels)
                    loss.backward()
                    optimizer.step()
            return get(model), len(indices), {}

    return Client().to_client()


seconds, accuracies, clock = [], [], Clock()


def evaluate(server_round, arrays, config):
    _, _, u, v = data()
    model = put(network(task.model, u.shape[1:], 10), arrays)
    with torch.no_grad():
        correct = sum(int((model(u[i : i + 500]).argmax(1) == v[i : i + 500]).sum()) for i in range(0, len(u), 500))
    elapsed = clock()
    if server_round > 0:
        seconds.append(elapsed)
        accuracies.append(correct / len(u))
    return 0.0, {}


def server_fn(context: Context):
    torch.manual_seed(0)
    start = ndarrays_to_parameters(get(network(task.model, data()[0].shape[1:], 10)))
    strategy = FedAvg(fraction_fit=1.0, fraction_evaluate=0.0, evaluate_fn=evaluate, initial_parameters=start)
    return ServerAppComponents(strategy=strategy, config=ServerConfig(num_rounds=task.rounds))


if __name__ == "__main__":
    run_simulation(
        ServerApp(server_fn=server_fn),
        ClientApp(client_fn=client_fn),
        num_supernodes=task.clients,
        backend_config={
            "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
            "init_args": {"num_cpus": os.cpu_count(), "include_dashboard": False},
        },
    )
    report(seconds, accuracies[-1])
