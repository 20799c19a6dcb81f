"""How often, and how surely, a model is right."""

from __future__ import annotations

from ..registry import metric


@metric("accuracy on the forgotten", column="forget acc.", key="forget_accuracy", unit="%", resolution=lambda case: 1 / len(case.forgotten))
def on_the_forgotten(run, case, others):
    """Share of the forgotten examples that are right."""
    return case.look(run, "departed").right.mean()


@metric("test accuracy", column="test acc.", key="test_accuracy", unit="%", resolution=lambda case: 1 / len(case.test))
def on_test_images(run, case, others):
    """Share of the test images that are right."""
    return case.look(run, "test").right.mean()


@metric("loss on the forgotten", column=None)
def loss_on_the_forgotten(run, case, others):
    """Mean cross-entropy on the forgotten examples, in nats."""
    return case.look(run, "departed").loss.mean()
