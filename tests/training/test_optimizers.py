"""Optimisers by name, by factory, by example."""

from functools import partial

import pytest
import torch

from siamese_nima.errors import ConfigError
from siamese_nima.training.optimizers import optimizer_maker


def parameters():
    return [torch.nn.Parameter(torch.zeros(2))]


def test_none_is_the_origins_adam():
    optimizer = optimizer_maker(None)(parameters())
    assert type(optimizer) is torch.optim.Adam
    assert optimizer.defaults["lr"] == 1e-3
    assert optimizer.defaults["eps"] == 1e-7


@pytest.mark.parametrize(
    "name",
    [
        *("adadelta", "adagrad", "adam", "adamw", "adamax", "nadam", "rmsprop", "sgd"),
        *("radam", "asgd", "rprop", "adafactor"),
    ],
)
def test_every_name_makes_an_optimiser_that_steps(name):
    given = parameters()
    optimizer = optimizer_maker(name.upper())(given)
    given[0].sum().backward()
    optimizer.step()
    assert torch.all(given[0] != 0)


def test_a_function_gets_the_parameters():
    optimizer = optimizer_maker(partial(torch.optim.SGD, lr=0.5, momentum=0.9))(parameters())
    assert optimizer.defaults["lr"] == 0.5
    assert optimizer.defaults["momentum"] == 0.9


def test_of_an_optimiser_class_and_settings_are_taken_for_new_parameters():
    example = torch.optim.RMSprop(parameters(), lr=0.3, alpha=0.7)
    example.param_groups[0]["lr"] = 0.2
    given = parameters()
    optimizer = optimizer_maker(example)(given)
    assert type(optimizer) is torch.optim.RMSprop
    assert optimizer.param_groups[0]["lr"] == 0.2
    assert optimizer.param_groups[0]["alpha"] == 0.7
    assert optimizer.param_groups[0]["params"][0] is given[0]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("adagrade", "one of adadelta, adafactor, .*, got 'adagrade'"),
        (0.001, "function from parameters to one; got float"),
        (
            torch.optim.SGD([{"params": parameters()}, {"params": parameters()}], lr=1),
            "has 2 groups of parameters",
        ),
    ],
)
def test_anything_else_is_refused(wanted, message):
    with pytest.raises(ConfigError, match=message):
        optimizer_maker(wanted)


def test_a_function_that_makes_something_else_is_told():
    with pytest.raises(ConfigError, match="gave a list, not a torch optimizer"):
        optimizer_maker(list)(parameters())
