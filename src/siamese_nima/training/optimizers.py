"""Optimisers by name, by factory, or by example."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from siamese_nima.errors import ConfigError

MakeOptimizer = Callable[[list[nn.Parameter]], Optimizer]

# All that torch has, but for those that need gradients of another kind.
_OPTIMIZERS: dict[str, MakeOptimizer] = {
    name.lower(): made
    for name, made in sorted(vars(torch.optim).items(), key=lambda item: item[0].lower())
    if isinstance(made, type)
    and issubclass(made, Optimizer)
    and name not in ("Optimizer", "SparseAdam", "Muon", "LBFGS")
}
# Keras' defaults, which the origin trains with, in place of torch's.
_KERAS: dict[str, dict[str, float]] = {
    "adadelta": {"lr": 1.0, "rho": 0.95, "eps": 1e-7},
    "adagrad": {"lr": 1e-2, "eps": 1e-7},
    "adam": {"lr": 1e-3, "eps": 1e-7},
    "adamw": {"lr": 1e-3, "eps": 1e-7},
    "adamax": {"lr": 2e-3, "eps": 1e-7},
    "nadam": {"lr": 2e-3, "eps": 1e-7},
    "rmsprop": {"lr": 1e-3, "alpha": 0.9, "eps": 1e-7},
    "sgd": {"lr": 1e-2},
}


def optimizer_maker(wanted: Any) -> MakeOptimizer:
    """What makes an optimiser once the parameters to train are known.

    Args:
        wanted: None for Adam with a rate of 1e-3, the origin's. Or the name of any optimiser of
            torch, in any case. Or a function from a list of parameters to an optimiser. Or an
            optimiser: one of its class with its settings is made for the parameters.

    Raises:
        ConfigError: Anything else, or an optimiser with several groups of parameters.
    """
    if wanted is None or isinstance(wanted, str):
        name = "adam" if wanted is None else wanted.lower()
        if name not in _OPTIMIZERS:
            raise ConfigError(f"optimizer must be one of {', '.join(_OPTIMIZERS)}, got {wanted!r}")
        return partial(_OPTIMIZERS[name], **_KERAS.get(name, {}))
    if isinstance(wanted, Optimizer):
        if len(wanted.param_groups) != 1:
            raise ConfigError(
                f"the optimizer has {len(wanted.param_groups)} groups of parameters, which belong "
                "to another network than train builds; give a function from parameters to an "
                "optimizer"
            )
        (group,) = wanted.param_groups
        return partial(type(wanted), **{name: group[name] for name in wanted.defaults})
    if callable(wanted):
        return partial(_made, wanted)
    raise ConfigError(
        "optimizer is None, a name, a torch optimizer, or a function from parameters to one; got "
        f"{type(wanted).__name__}"
    )


def _made(make: Callable[[list[nn.Parameter]], object], given: list[nn.Parameter]) -> Optimizer:
    optimizer = make(given)
    if not isinstance(optimizer, Optimizer):
        raise ConfigError(
            f"the optimizer function gave a {type(optimizer).__name__}, not a torch optimizer"
        )
    return optimizer
