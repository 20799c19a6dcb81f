"""The Real-Noniid benchmark: data of several sources with one label space."""

import numpy as np
import pytest
import torch
from PIL import Image

import fucore as fu
from fucore import domains
from fucore.data.rendered import rendered_digits

CIFAR100 = """apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl
hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree
orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea
seal shark shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm""".split()


@pytest.fixture(scope="module")
def embedded():
    return domains.load()


@pytest.mark.long
def test_rendered_digits_are_balanced_readable_in_number_and_always_the_same():
    images, labels, test_images, test_labels = rendered_digits()
    assert images.shape == (2000, 32, 32, 3) and images.dtype == np.uint8 and len(test_images) == len(test_labels) == 500
    assert np.bincount(np.concatenate([labels, test_labels])).tolist() == [250] * 10
    again = rendered_digits.__wrapped__()
    assert all(np.array_equal(a, b) for a, b in zip(again, (images, labels, test_images, test_labels)))
    assert "synthetic" in domains.load().names[2], "it is called synthetic wherever it appears"


def test_clients_hold_data_of_one_domain_and_everything_is_held_once(embedded):
    clients, data = embedded.clients, embedded.data
    assert np.array_equal(np.sort(np.concatenate(clients.indices)), np.arange(len(data.train)))
    assert np.array_equal(np.sort(np.concatenate(embedded.tests)), np.arange(len(data.test)))
    sizes = [len(fu.load(name).train) for name in ("mnist5k", "digits", "rendered-digits")]
    bounds = np.cumsum([0, *sizes])
    for indices, domain in zip(clients.indices, embedded.domain_of):
        assert bounds[domain] <= indices.min() and indices.max() < bounds[domain + 1]
    assert embedded.domain_of.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2] and data.shape == (3, 32, 32)


def test_test_images_are_shared_out_like_the_training_images(embedded):
    train, test = embedded.data.train.labels.numpy(), embedded.data.test.labels.numpy()
    for indices, part in zip(embedded.clients.indices, embedded.tests):
        have, own = np.bincount(train[indices], minlength=10), np.bincount(test[part], minlength=10)
        assert np.all(own[have == 0] == 0) and abs(len(part) / len(test) - len(indices) / len(train)) < 0.01
    assert len(embedded.test(1)) == len(fu.load("digits").test)


def test_grey_images_become_three_equal_channels_and_normalisation_is_of_all_domains(embedded):
    grey = embedded.data.train.images[embedded.clients.indices[0][:5]]
    assert torch.equal(grey[:, 0], grey[:, 1]) and torch.equal(grey[:, 0], grey[:, 2])
    assert embedded.data.mean == pytest.approx(embedded.data.train.images.double().mean(dim=(0, 2, 3)).tolist(), rel=1e-4)


@pytest.mark.long
def test_the_same_seed_gives_the_same_benchmark_and_another_alpha_another(embedded):
    assert domains.load().clients.hash == embedded.clients.hash and domains.load().data.hash == embedded.data.hash
    assert domains.load(alpha=10.0).clients.hash != embedded.clients.hash


def test_lists_of_data_sets_share_the_classes_of_the_same_name(tmp_path):
    rng = np.random.default_rng(0)
    for name, classes, size in (("a", ["cat", "dog", "fox"], 8), ("b", ["fox", "cat", "owl", "emu"], 12)):
        labels = np.arange(10 * len(classes)) % len(classes)
        images = (labels[:, None, None, None] * 10 + rng.integers(0, 5, (len(labels), size, size, 3))).astype(np.uint8)
        np.savez(tmp_path / f"{name}.npz", x_train=images, y_train=labels, x_test=images, y_test=labels, classes=classes)
    files = [f"npz:{tmp_path}/a.npz", f"npz:{tmp_path}/b.npz"]
    both = domains.load(files, clients=(2, 1), image_size=8)
    assert both.data.classes == ("cat", "fox") and len(both.clients) == 3 and len(both.data.train) == 40
    of_b = both.data.train.take(both.clients.indices[2])
    assert set((of_b.images.float().mean(dim=(1, 2, 3)) // 10).tolist()) == {0.0, 1.0}, "fox was 0 and cat was 1 there"
    assert ((of_b.images.float().mean(dim=(1, 2, 3)) > 9) == (of_b.labels == 0)).all()
    assert len(domains.load(files, image_size=8, train_size=6).data.train) == 12
    with pytest.raises(fu.FucoreError, match="fewer than two class names"):
        domains.load([files[0], "digits"])
    with pytest.raises(fu.FucoreError, match="a number for each of the 2 domains"):
        domains.load(files, clients=(3,))
    with pytest.raises(fu.FucoreError, match="benchmark is 'digit'"):
        domains.load("digit")


def test_folders_of_uneven_images_make_a_domain(tmp_path):
    for name in "ab":
        for place, (kind, count) in enumerate((("cat", 6), ("dog", 6))):
            for part in ("train", "test"):
                folder = tmp_path / name / part / kind
                folder.mkdir(parents=True)
                for k in range(count):
                    Image.new("RGB", (9 + k, 12), (100 * place, k, 0)).save(folder / f"{k}.png")
    both = domains.load([f"folder:{tmp_path}/a", f"folder:{tmp_path}/b"], clients=(1, 1), image_size=8)
    assert both.data.shape == (3, 8, 8) and len(both.data.train) == 24 and both.data.classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"benchmark": 5}, "benchmark must be a list of data sets or one of"),
        ({"clients": 3}, "a number for each of the 3 domains"),
        ({"clients": "333"}, "clients of a domain is '3'"),
        ({"clients": (3, 0, 3)}, "clients of a domain is 0"),
        ({"benchmark": ["digits", 5]}, "benchmark must be a list of data sets or one of"),
        ({"benchmark": b"digits"}, "benchmark must be a list of data sets or one of"),
        ({"alpha": "x"}, "alpha is 'x'"),
        ({"native": 1}, "native is 1, but must be True or False"),
        ({"imagenet": 5}, "imagenet is 5, but must be the path"),
        ({"train_size": "a"}, "train_size is 'a', but must be a whole number"),
        ({"seed": -1}, "seed is -1"),
        ({"image_size": 0}, "image_size is 0"),
        ({"native": True, "image_size": 16}, "cannot go with image_size"),
    ],
)
def test_bad_options_are_said_in_a_sentence(options, message):
    with pytest.raises(fu.FucoreError, match=message):
        domains.load(**options)


def test_domains_are_named_by_their_number(embedded):
    for wrong in (3, -1, "mnist5k", 0.0):
        with pytest.raises(fu.FucoreError, match="domain is .*, but must be a whole number from 0 to 2"):
            embedded.test(wrong)
    with pytest.raises(fu.FucoreError, match="dataset is .*one of: cifar10, cifar100"):
        domains.imagenet_classes(["cifar10"])


@pytest.mark.long
def test_native_sizes_are_kept_and_trained_on(tmp_path):
    native = domains.load(native=True)
    split = native.data.train
    assert [int(split.sides[native.clients.indices[client][0]]) for client in (0, 3, 6)] == [28, 8, 32]
    eights = native.clients.indices[3][:7]
    assert split.batch(eights).shape == (7, 3, 8, 8)
    assert torch.equal(split.batch(eights)[:, 0], fu.load("digits").train.images[eights - len(fu.load("mnist5k").train)][:, 0])
    with pytest.raises(fu.FucoreError, match="cannot be in one batch"):
        split.batch(np.array([native.clients.indices[0][0], eights[0]]))
    fed = fu.Federation(native.data, native.clients, "cnn-adaptive", fu.LocalTraining(epochs=1, batch=64), store=tmp_path).only([0, 3, 6])
    run = fed.train(1)
    test = fed.data.test
    order = fed.logits(run.weights, test)
    few = torch.tensor([0, 1200, 1800, 5])
    assert torch.allclose(order[few], torch.cat([fed.logits(run.weights, test.take(few[k : k + 1])) for k in range(4)]), atol=1e-5)
    with pytest.raises(fu.FucoreError, match="pools adaptively"):
        fu.Federation(native.data, native.clients, "cnn", store=None).train(1)


def test_class_maps_name_each_folder_once_and_only_classes_that_exist():
    cifar10 = "airplane automobile bird cat deer dog frog horse ship truck".split()
    nine, many = domains.imagenet_classes("cifar10"), domains.imagenet_classes("cifar100")
    assert list(nine) == [name for name in cifar10 if name != "deer"] and len(many) == 65 and list(many) == sorted(many)
    for merged in (nine, many):
        folders = [wnid for wnids in merged.values() for wnid in wnids]
        assert len(folders) == len(set(folders)) and all(len(wnid) == 9 and wnid[0] == "n" and wnid[1:].isdecimal() for wnid in folders)
    assert set(many) <= set(CIFAR100) and len(CIFAR100) == 100
    assert {name: (sum(made.clients), len(made.domains)) for name, made in domains.BENCHMARKS.items()} == {
        "digits-embedded": (9, 3),
        "digits": (9, 3),
        "image-9": (10, 2),
        "image-65": (10, 2),
    }
    assert nine["frog"] == ["n01641577", "n01644373", "n01644900"] and many["orange"] == ["n07747607"]


def test_imagenet_comes_from_a_folder_and_only_the_named_classes_are_read(tmp_path, monkeypatch):
    nine = domains.imagenet_classes("cifar10")
    for part, count in (("train", 2), ("val", 1)):
        for number, wnids in enumerate(nine.values()):
            for wnid in wnids:
                folder = tmp_path / part / wnid
                folder.mkdir(parents=True)
                for k in range(count):
                    Image.new("RGB", (20, 14), (20 * number, k, 0)).save(folder / f"{k}.png")
        (tmp_path / part / "n00000000").mkdir()
        (tmp_path / part / "n00000000" / "broken.png").write_text("this class is not read")
    rng = np.random.default_rng(0)
    labels = np.arange(100) % 10
    names = "airplane automobile bird cat deer dog frog horse ship truck".split()
    images = rng.integers(0, 255, (100, 32, 32, 3)).astype(np.uint8)
    np.savez(tmp_path / "c.npz", x_train=images, y_train=labels, x_test=images, y_test=labels, classes=names)
    load_data = domains.load_data
    monkeypatch.setattr(
        domains, "load_data", lambda name, **keys: load_data(f"npz:{tmp_path}/c.npz" if name == "cifar10" else name, **keys)
    )
    wild = domains.load("image-9", imagenet=str(tmp_path), image_size=16)
    assert wild.data.classes == tuple(nine) and len(wild.clients) == 10 and wild.data.shape == (3, 16, 16)
    held = wild.data.train.take(np.concatenate(wild.clients.indices[5:]))
    assert len(held) == 2 * sum(map(len, nine.values())) and torch.equal(held.images[:, 0, 0, 0].long() // 20, held.labels)
    with pytest.raises(fu.FucoreError, match="needs ImageNet"):
        domains.load("image-9")
