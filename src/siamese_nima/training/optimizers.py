"""Optimisers by name, by factory, or by example."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from siamese_nima.errors import ConfigError

MakeOptimizer = Callable[[list[nn.Parameter]], Optimizer]

# Learning rates and epsilon are Keras' defaults, which the origin trains with. All others of torch
# have torch's.
OPTIMIZERS: Mapping[str, MakeOptimizer] = MappingProxyType(
    {
        "adadelta": partial(torch.optim.Adadelta, lr=1.0, rho=0.95, eps=1e-7),
        "adagrad": partial(torch.optim.Adagrad, lr=1e-2, eps=1e-7),
        "adam": partial(torch.optim.Adam, lr=1e-3, eps=1e-7),
        "adamw": partial(torch.optim.AdamW, lr=1e-3, eps=1e-7),
        "adamax": partial(torch.optim.Adamax, lr=2e-3, eps=1e-7),
        "nadam": partial(torch.optim.NAdam, lr=2e-3, eps=1e-7),
        "rmsprop": partial(torch.optim.RMSprop, lr=1e-3, alpha=0.9, eps=1e-7),
        "sgd": partial(torch.optim.SGD, lr=1e-2),
    }
)


def _named() -> dict[str, MakeOptimizer]:
    """Of every optimiser that torch has, but for those that need gradients of another kind."""
    classes = {
        name.lower(): made
        for name, made in vars(torch.optim).items()
        if isinstance(made, type)
        and issubclass(made, Optimizer)
        and name not in ("Optimizer", "SparseAdam", "Muon", "LBFGS")
    }
    return dict(sorted((classes | dict(OPTIMIZERS)).items()))


def optimizer_maker(wanted: Any) -> MakeOptimizer:
    """What makes an optimiser once the parameters to train are known.

    Args:
        wanted: None for Adam with a rate of 1e-3, the origin's. Or the name of any optimiser of
            torch, in any case. Or a function from a list of parameters to an optimiser, such as
            `functools.partial(torch.optim.SGD, lr=.01)`. Or an optimiser: one of its class with its
            settings is made, as its own parameters are those of another network.

    Raises:
        ConfigError: Anything else, or an optimiser with several groups of parameters.
    """
    if wanted is None:
        return OPTIMIZERS["adam"]
    if isinstance(wanted, str):
        known = _named()
        if wanted.lower() not in known:
            raise ConfigError(f"optimizer must be one of {', '.join(known)}, got {wanted!r}")
        return known[wanted.lower()]
    if isinstance(wanted, Optimizer):
        return _alike(wanted)
    if callable(wanted):
        return partial(_made, wanted)
    raise ConfigError(
        "optimizer is None, a name, a torch optimizer, or a function from parameters to one; got "
        f"{type(wanted).__name__}"
    )


def _alike(example: Optimizer) -> MakeOptimizer:
    if len(example.param_groups) != 1:
        raise ConfigError(
            f"the optimizer has {len(example.param_groups)} groups of parameters, which belong to "
            "another network than train builds; give a function from parameters to an optimizer"
        )
    settings = {name: example.param_groups[0][name] for name in example.defaults}
    return partial(type(example), **settings)


def _made(
    make: Callable[[list[nn.Parameter]], object], parameters: list[nn.Parameter]
) -> Optimizer:
    optimizer = make(parameters)
    if not isinstance(optimizer, Optimizer):
        raise ConfigError(
            f"the optimizer function gave a {type(optimizer).__name__}, not a torch optimizer"
        )
    return optimizer
