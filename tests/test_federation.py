import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

import fucore as fu
from fucore.data.partition import Partition
from fucore.federation.models import build
from fucore.federation.training import augmented


def alone(fed, client):
    return dataclasses.replace(fed, clients=Partition((fed.clients.indices[client],)))


def test_one_client_federation_is_local_training(fed):
    """N = 1 gives theta(t+1) = theta_1 exactly."""
    single = alone(fed, 0)
    start = single.initial_weights(3)
    (local,) = single.engine.each(
        [lambda worker: worker.train(start, single.clients.indices[0], single.local, single.local.lr, (5, 0, 0), fu.Hooks())]
    )
    assert torch.equal(single.train(1, seed=5, start=start).weights, local)


def test_zero_learning_rate_is_identity(fed):
    for aggregation in ("uniform", "size"):
        still = dataclasses.replace(fed, local=dataclasses.replace(fed.local, lr=0.0), server=fu.FedAvg(aggregation))
        assert torch.equal(still.train(2, start=(start := fed.initial_weights(0))).weights, start)


@pytest.mark.parametrize("aggregation", ["uniform", "size"])
def test_averaging_models_is_averaging_updates(stored, aggregation):
    """With the recorded client updates."""
    fed = dataclasses.replace(stored, server=fu.FedAvg(aggregation))
    start = fed.initial_weights(0)
    run = fed.train(1, start=start, record_updates=True)
    weights = fed.clients.sizes if aggregation == "size" else np.ones(4)
    share = torch.tensor(weights / weights.sum(), dtype=torch.float32)
    assert torch.allclose(start + share @ fed.updates(run, 1), run.weights, atol=1e-6)


def test_permuting_clients_does_not_change_the_result(fed):
    """Full batches, so that no client's batch order depends on its number."""
    whole = dataclasses.replace(fed, local=dataclasses.replace(fed.local, batch=10**6))
    moved = dataclasses.replace(whole, clients=Partition(tuple(whole.clients.indices[i] for i in (3, 1, 0, 2))))
    assert torch.allclose(whole.train(2, seed=1).weights, moved.train(2, seed=1).weights, atol=1e-5)


def test_forgotten_examples_are_blank_for_those_who_stay(fed):
    request = fu.forget.client(2)
    rest, gone = fed.without(request), fed.forgotten(request)
    assert not rest.data.train.images[gone].any() and (rest.data.train.labels[gone] == -1).all()
    kept = np.concatenate(rest.clients.indices)
    assert torch.equal(rest.data.train.images[kept], fed.data.train.images[kept]) and rest.data.hash == fed.data.hash
    clients = fu.partition.overlapping(fed.data.train.labels, 4, 700)
    copies = dataclasses.replace(fed, clients=clients).without(request)
    shared = np.intersect1d(clients.indices[2], clients.indices[0])
    assert len(shared) and (copies.data.train.labels[shared] >= 0).all()


def test_workers_are_made_once(fed):
    made = []
    fed = dataclasses.replace(fed, workers=2)
    fed.engine._make_worker = lambda make=fed.engine._make_worker: made.append(1) or make()
    fed.train(5)
    assert len(made) <= 2


def poisoned(fed, request):
    """The federation of the remaining clients with every forgotten label impossible: reading one raises inside cross-entropy."""
    gone = fed.forgotten(request)
    train = fu.Split(fed.data.train.images.clone(), fed.data.train.labels.clone())
    data = dataclasses.replace(fed.data, train=train)
    train.labels[gone], train.images[gone] = 10**6, 255 - train.images[gone]  # a data set made with such labels would be refused
    return dataclasses.replace(fed, data=data, clients=fed.without(request).clients)


def test_retraining_and_fine_tuning_never_read_the_forgotten(fed):
    """Same bits when the forgotten examples are replaced by ones that cannot be read."""
    request = fu.forget.client(2)
    blind = poisoned(fed, request)
    assert torch.equal(blind.train(2, seed=1).weights, fed.without(request).train(2, seed=1).weights)
    start = fed.train(1).weights
    assert torch.equal(blind.train(1, start=start).weights, fed.without(request).train(1, start=start).weights)
    with pytest.raises(IndexError):
        dataclasses.replace(blind, clients=fed.clients).train(1)


def test_same_bits_for_any_number_of_workers_and_again(fed):
    runs = [dataclasses.replace(fed, workers=workers).train(2, seed=3).weights for workers in (1, 2, 3, 1)]
    assert all(torch.equal(runs[0], other) for other in runs[1:])
    assert not torch.equal(runs[0], fed.train(2, seed=4).weights)


def test_a_run_continued_is_the_run_in_one_go(fed):
    whole = fed.train(3, seed=2)
    half = fed.train(1, seed=2)
    assert torch.equal(fed.train(2, seed=2, start=half.weights, first_round=1).weights, whole.weights)
    cosine = dataclasses.replace(fed, local=dataclasses.replace(fed.local, schedule="cosine"))
    whole, half = cosine.train(3), cosine.train(1, horizon=3)
    assert torch.equal(cosine.train(2, start=half.weights, first_round=1).weights, whole.weights)


def test_learning_rate_follows_the_global_round():
    local = fu.LocalTraining(lr=0.1, decay=0.5)
    assert [local.rate(r, 10) for r in range(3)] == [0.1, 0.05, 0.025]
    cosine = fu.LocalTraining(lr=0.1, schedule="cosine")
    assert cosine.rate(0, 10) == 0.1 and cosine.rate(5, 10) == pytest.approx(0.05) and cosine.rate(9, 10) < 0.003


@pytest.mark.parametrize("optimizer, options", [("adam", {}), ("sgd", {"momentum": 0.9, "weight_decay": 5e-4})])
def test_flat_optimiser_equals_torch_on_separate_tensors(fed, optimizer, options):
    """The fused step on one flat vector is the textbook step on every parameter."""
    local = fu.LocalTraining(epochs=1, batch=64, optimizer=optimizer, lr=0.01, **options)
    indices, start = fed.clients.indices[0], fed.initial_weights(0)
    ours = fed.engine.worker.train(start, indices, local, 0.01, (0, 0, 0), fu.Hooks())
    module = build("cnn", fed.data.shape, 10, seed=0)
    step = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[optimizer](module.parameters(), lr=0.01, **options)
    for batch in torch.from_numpy(np.random.default_rng((0, 0, 0)).permutation(indices)).split(64):
        step.zero_grad()
        nn.functional.cross_entropy(module(fed.engine.worker.inputs(fed.data.train.images[batch])), fed.data.train.labels[batch]).backward()
        step.step()
    assert torch.allclose(ours, torch.cat([p.detach().reshape(-1) for p in module.parameters()]), atol=2e-5)


def test_hooks_change_loss_and_gradient_without_another_loop(fed):
    start = fed.initial_weights(0)
    halved = fed.train(1, start=start, hooks=fu.Hooks(gradient=lambda step: step.gradient.zero_()))
    assert torch.equal(halved.weights, start)
    uphill = fed.train(1, start=start, hooks=fu.Hooks(loss=lambda step: -nn.functional.cross_entropy(step.logits, step.labels)))
    assert fed.evaluate(uphill.weights)[1] > fed.evaluate(start)[1] > fed.evaluate(fed.train(1, start=start).weights)[1]


def test_partial_participation_draws_a_share_of_those_with_data(digits):
    clients = Partition((*fu.partition.iid(digits.train.labels, 5).indices, np.array([], int)))
    fed = fu.Federation(digits, clients, store=None, participation=0.4, local=fu.LocalTraining(epochs=1, batch=64))
    drawn = [row["participants"] for row in fed.train(6).history]
    assert all(len(p) == 2 and 5 not in p for p in drawn) and len({tuple(p) for p in drawn}) > 1


def test_mean_gradient_is_what_one_fedsgd_round_descends(fed):
    start = fed.initial_weights(1)
    sgd = fu.LocalTraining(epochs=1, batch=10**6, optimizer="sgd", lr=1e-2)
    step = dataclasses.replace(fed, local=sgd).train(1, start=start).weights
    assert torch.allclose((start - step) / 1e-2, fed.mean_gradient(start), atol=2e-4)


def test_cost_counts_examples_and_bytes(fed):
    run = fed.train(3)
    assert run.cost.examples == 3 * fed.clients.sizes.sum()
    assert run.cost.uploaded == run.cost.downloaded == 3 * 4 * run.weights.numel() * 4
    assert run.history[-1]["examples"] == run.cost.examples and run.cost.seconds > 0


def test_stopping_early_and_thinning_evaluation(fed):
    assert [row["round"] for row in fed.train(5, evaluate_every=2).history] == [2, 4, 5]
    stopped = fed.train(50, until=0.5)
    assert stopped.rounds < 50 and stopped.history[-1]["test_accuracy"] >= 0.5 > stopped.history[-2]["test_accuracy"]


def test_memory_does_not_hold_all_clients(digits):
    """At most 2 * workers finished results wait, however many clients there are."""
    fed = fu.Federation(digits, fu.partition.iid(digits.train.labels, 300), store=None, workers=2, local=fu.LocalTraining(epochs=1))
    alive, most = [0], [0]

    def job(worker):
        alive[0] += 1
        most[0] = max(most[0], alive[0])
        return 1

    for _ in fed.engine.each([job] * 300):
        alive[0] -= 1
    assert most[0] <= 5


def test_bf16_learns_too(fed):
    half = dataclasses.replace(fed, precision="bf16").train(5)
    assert half.weights.dtype == torch.float32 and half.history[-1]["test_accuracy"] > 0.5


@pytest.mark.parametrize("model", ["mlp", "cnn", "convnet"])  # convnet is never trained as a stack
def test_a_round_in_bf16_moves_the_weights_as_one_in_fp32_for_any_number_of_workers(digits, model):
    """Each step must see the weights that the step before it left, not copies of older ones in half precision."""
    clients = fu.partition.iid(digits.train.labels, 4)
    make = lambda precision, workers: fu.Federation(
        digits, clients, model, fu.LocalTraining(epochs=2), precision=precision, workers=workers, store=None
    )
    start = make("fp32", 1).initial_weights(0)
    moved = [make(*each).train(1).weights - start for each in (("fp32", 1), ("bf16", 1), ("bf16", 2))]
    assert torch.equal(moved[1], moved[2])
    assert torch.nn.functional.cosine_similarity(moved[0], moved[1], dim=0) > 0.95


def test_augmentation_crops_and_flips_whole_images():
    images = torch.arange(3 * 2 * 12 * 12, dtype=torch.uint8).view(3, 2, 12, 12)
    shifted = augmented(images, np.random.default_rng(0))
    assert shifted.shape == images.shape and shifted.dtype == torch.uint8
    padded = torch.nn.functional.pad(images, (4,) * 4)
    for image, result in zip(padded, shifted):
        crops = [image[:, t : t + 12, c : c + 12] for t in range(9) for c in range(9)]
        assert any(torch.equal(result, crop) or torch.equal(result, crop.flip(2)) for crop in crops)


def test_resize_and_normalise(digits):
    fed = fu.Federation(digits, fu.partition.iid(digits.train.labels, 2), store=None, preprocessing=fu.Preprocessing(resize=16))
    inputs = fed.engine.worker.inputs(digits.train.images)
    assert inputs.shape[-2:] == (16, 16)
    plain = fu.Federation(digits, fed.clients, store=None).engine.worker.inputs(digits.train.images)
    assert plain.mean().abs() < 1e-3 and (plain.std() - 1).abs() < 1e-2
    raw = fu.Federation(digits, fed.clients, store=None, preprocessing=fu.Preprocessing(normalise=False)).engine.worker.inputs(
        digits.train.images
    )
    assert raw.min() == 0 and raw.max() == 1


@pytest.mark.parametrize(
    "act, sentence",
    [
        (lambda fed: fed.train(0), "rounds is 0, but must be a whole number of at least 1"),
        (lambda fed: fed.train("many"), "rounds is 'many'"),
        (lambda fed: fed.train(1, seed=-1), "seed is -1"),
        (lambda fed: fed.train(1, until=2), "until is 2"),
        (lambda fed: fed.train(1, first_round=-1), "first_round is -1"),
        (lambda fed: fed.train(3, horizon=2), "horizon is 2"),
        (lambda fed: fed.evaluate(fed.initial_weights(0), fed.data.train.take(np.array([], int))), "no example to evaluate on"),
        (lambda fed: fed.train(1, start=torch.zeros(3)), "start has shape"),
        (lambda fed: fed.train(1, record_updates=True), "needs a store"),
        (lambda fed: fed.updates(fed.train(1), 1), "record_updates=True"),
        (lambda fed: fu.FedAvg("median"), "weights is 'median', but must be one of: uniform, size"),
        (lambda fed: dataclasses.replace(fed, participation=0), r"participation is 0, but must be a number in \(0, 1\]"),
        (lambda fed: dataclasses.replace(fed, device="cuda:9"), "device is 'cuda:9'"),
        (lambda fed: dataclasses.replace(fed, precision="fp8"), "precision is 'fp8'"),
        (lambda fed: dataclasses.replace(fed, clients=Partition((np.array([10**6]),))), "has only 1438 training examples"),
        (lambda fed: fu.LocalTraining(batch=0), "batch is 0"),
        (lambda fed: dataclasses.replace(fed, local={"epochs": 1}), "must be fu.LocalTraining"),
        (lambda fed: dataclasses.replace(fed, model=nn.Linear(1, 1)), "must be a function"),
        (
            lambda fed: dataclasses.replace(fed, model=lambda shape, classes: nn.Sequential(nn.Flatten(), nn.Linear(64, 3))).train(1),
            "one logit a class",
        ),
        (lambda fed: dataclasses.replace(fed, workers=0), "workers is 0"),
        (lambda fed: fu.LocalTraining(lr=-1), "lr is -1"),
        (lambda fed: dataclasses.replace(fed, local=fu.LocalTraining(optimizer="sgd", lr=1e9)).train(2), "training diverged in round 1"),
    ],
)
def test_errors_are_one_sentence(fed, act, sentence):
    with pytest.raises(fu.FucoreError, match=sentence) as error:
        act(fed)
    assert "\n" not in str(error.value)
    assert error.value._render_traceback_() == [f"FucoreError: {error.value}"]


@dataclasses.dataclass(frozen=True)
class Momentum(fu.Server):
    """FedAvgM (Hsu et al., 2019), in a few lines and with a state."""

    momentum: float = 0.5

    def begin(self, theta):
        return {"velocity": torch.zeros_like(theta)}

    def step(self, theta, mean, state):
        state["velocity"].mul_(self.momentum).add_(mean.float() - theta)
        return theta + state["velocity"]


@pytest.mark.long
def test_an_aggregation_rule_is_a_value_shared_by_training_retraining_and_recovery(stored):
    fed = dataclasses.replace(stored, server=Momentum())
    plain, run = stored.train(2), fed.train(2)
    assert run.key is not None and run.key != plain.key and not torch.equal(run.weights, plain.weights)
    assert dataclasses.replace(stored, server=Momentum(momentum=0.0)).train(2).weights == pytest.approx(plain.weights, abs=1e-5)
    request = fu.forget.client(0)
    retrained = fed.without(request).train_many(2, range(1, 4))
    unlearned = fu.unlearn("fine-tune", run, request, rounds=1)
    assert fu.compare({"mine": unlearned}, run, retrained, request) is not None
    assert unlearned.key != fu.unlearn("fine-tune", plain, request, rounds=1).key
    with pytest.raises(fu.FucoreError, match="cannot be the reference"):
        fu.compare({}, run, stored.without(request).train_many(2, range(1, 4)), request)
    with pytest.raises(fu.FucoreError, match="must be an aggregation rule"):
        dataclasses.replace(stored, server="size")


def test_the_state_of_a_rule_is_checkpointed(stored, interrupt):
    fed = dataclasses.replace(stored, server=Momentum())
    whole, begun = dataclasses.replace(fed, store=None).train(4), interrupt()
    with pytest.raises(KeyboardInterrupt):
        fed.train(4)
    assert torch.equal(fed.train(4).weights, whole.weights) and len(begun) == 5


def test_history_is_replayed_by_the_rule_itself(stored):
    """The replayed models are the trained ones, up to the rounding of the recorded updates."""
    run = dataclasses.replace(stored, server=Momentum()).train(3, record_updates=True)
    seen = []

    @fu.method("replay", needs=("history",))
    def replay(task, *, rounds=0):
        seen.extend(theta for theta, *_ in task.past())
        return task.original.weights

    try:
        fu.unlearn("replay", run, fu.forget.client(0))
    finally:
        del fu.METHODS["replay"]
    again = [dataclasses.replace(stored, server=Momentum(), store=None).train(rounds).weights for rounds in (1, 2)]
    assert torch.allclose(seen[1], again[0], atol=1e-5) and torch.allclose(seen[2], again[1], atol=1e-5)


def test_hooks_of_a_federation_are_given_to_recovery_too_and_know_where_they_started(stored):
    """FedProx (Li et al., 2020): a pull towards theta(t), in training, retraining and recovery alike."""

    def proximal(step):
        step.gradient.add_(step.weights - step.start, alpha=10.0)

    fed = dataclasses.replace(stored, hooks=fu.Hooks(gradient=proximal))
    free, held = stored.train(1), fed.train(1)
    start = fed.initial_weights(0)
    assert (held.weights - start).norm() < 0.5 * (free.weights - start).norm()
    request = fu.forget.client(0)
    pulled, loose = (fu.unlearn("fine-tune", dataclasses.replace(held, federation=each), request, rounds=1) for each in (fed, stored))
    assert (pulled.weights - held.weights).norm() < 0.5 * (loose.weights - held.weights).norm()
    assert fed.train(1).key == held.key != free.key


@dataclasses.dataclass(frozen=True)
class Average(fu.Server):
    """A running mean that hands out its own state, which it calls by the name of the weights."""

    def begin(self, theta):
        return {"weights": theta.clone()}

    def step(self, theta, mean, state):
        return state["weights"].mul_(0.5).add_(mean.float(), alpha=0.5)


def test_a_rule_may_hand_out_its_state_and_call_it_anything(stored, interrupt):
    fed = dataclasses.replace(stored, server=Average())
    whole, begun = dataclasses.replace(fed, store=None).train(3), interrupt()
    with pytest.raises(KeyboardInterrupt):
        fed.train(3)
    assert torch.equal(fed.train(3).weights, whole.weights) and len(begun) == 4
