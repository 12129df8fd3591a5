"""NIMA: a backbone, and a head that turns its features into a rating distribution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from siamese_nima.card import ModelCard, Normalisation
from siamese_nima.errors import ConfigError, ViewError, WeightsError
from siamese_nima.networks.backbones import BackboneOptions, build_backbone, feature_count

DROPOUT = 0.75  # the rate of the NIMA paper and of titu1994's and the origin's code


class NIMA(nn.Module):
    """Rating distributions from the views of photos.

    A view policy has G groups of views (for instance one whole view and five crops). Features of
    one group are averaged, those of different groups concatenated; then dropout, one linear layer
    and softmax.

    Attributes:
        backbone: From pixels (N, 3, H, W) to features (N, F).
        group_sizes: Views per group, in the order of the view axis. With a single group, the
            network takes any number of views and averages them.
        frozen_modules: What `freeze` froze.

    Reference:
        Talebi and Milanfar, "NIMA: Neural Image Assessment", 2018. arXiv:1709.05424
        Differs: several views per photo; the paper has one.
    """

    def __init__(
        self, backbone: nn.Module, *, grades: int = 10, group_sizes: Sequence[int] = (1,)
    ) -> None:
        super().__init__()
        if not group_sizes or min(group_sizes) < 1:
            raise ConfigError(f"each group of views needs at least one, got {tuple(group_sizes)}")
        self.backbone = backbone
        self.group_sizes = tuple(group_sizes)
        # In a tuple, so that torch does not take them for further children.
        self.frozen_modules: tuple[nn.Module, ...] = ()
        self.dropout = nn.Dropout(DROPOUT)
        self.head = nn.Linear(len(self.group_sizes) * feature_count(backbone), grades)

    def train(self, mode: bool = True) -> Self:
        """As torch has it, but what `freeze` froze stays in inference mode."""
        super().train(mode)
        for module in self.frozen_modules:
            module.training = False
        return self

    def features(self, views: Tensor) -> Tensor:
        """Pooled features per photo.

        Args:
            views: Shape (N, V, 3, H, W), normalised.

        Returns:
            Shape (N, G * F).

        Raises:
            ViewError: V is not the sum of `group_sizes` and there is more than one group.
        """
        photos, count = views.shape[:2]
        if len(self.group_sizes) > 1 and count != sum(self.group_sizes):
            raise ViewError(
                f"got {count} views per photo, this network needs {sum(self.group_sizes)} "
                f"(groups of {self.group_sizes})"
            )
        per_view = self.backbone(views.flatten(0, 1)).unflatten(0, (photos, count))
        if len(self.group_sizes) == 1:
            pooled: Tensor = per_view.mean(1)
            return pooled
        groups = per_view.split(self.group_sizes, dim=1)
        return torch.cat([group.mean(1) for group in groups], dim=1)

    def logits(self, views: Tensor) -> Tensor:
        """Logarithms of the rating distribution up to a constant, shape (N, K)."""
        features = self.features(views)
        kind = features.device.type
        if torch.is_autocast_enabled(kind):
            # Eight bits of a logit leave some fifty different means to 64 photos.
            with torch.autocast(kind, enabled=False):
                return cast(Tensor, self.head(self.dropout(features.float())))
        return cast(Tensor, self.head(self.dropout(features)))

    def forward(self, views: Tensor) -> Tensor:
        """Rating distributions.

        Args:
            views: Shape (N, V, 3, H, W), normalised.

        Returns:
            Shape (N, K); rows are probabilities that sum to 1.
        """
        # In half precision softmax would leave sums off by 1e-3.
        return self.logits(views).float().softmax(-1)


class PixelNormalisation(nn.Module):
    """From pixels as view policies give them to network input."""

    mean: Tensor
    inverse_std: Tensor

    def __init__(self, normalisation: Normalisation) -> None:
        super().__init__()
        mean = torch.tensor(normalisation.mean, dtype=torch.float32)
        std = torch.tensor(normalisation.std, dtype=torch.float32)
        # Not persistent: the card holds them, and the two could disagree.
        self.register_buffer("mean", mean.view(3, 1, 1), persistent=False)
        self.register_buffer("inverse_std", (1 / std).view(3, 1, 1), persistent=False)

    def forward(self, views: Tensor) -> Tensor:
        """From uint8 (N, V, H, W, 3) in 0..255 to float32 (N, V, 3, H, W)."""
        channels_first = views.permute(0, 1, 4, 2, 3).to(self.mean.dtype)
        return (channels_first - self.mean) * self.inverse_std


class PhotoNIMA(nn.Module):
    """NIMA from pixels: normalisation and network in one, as the model file has them."""

    def __init__(self, nima: NIMA, normalisation: Normalisation) -> None:
        super().__init__()
        self.normalisation = PixelNormalisation(normalisation)
        self.nima = nima

    def forward(self, views: Tensor) -> Tensor:
        """From uint8 pixels (N, V, H, W, 3) to rating distributions (N, K)."""
        distributions: Tensor = self.nima(self.normalisation(views))
        return distributions


def build_nima(
    backbone: str,
    *,
    options: BackboneOptions | Mapping[str, Any] | None = None,
    grades: int = 10,
    group_sizes: Sequence[int] = (1,),
) -> NIMA:
    """Build NIMA with random weights; nothing is downloaded.

    Args:
        backbone: timm name.
        options: Backbone options, or the mapping of them that a model card holds.
        grades: Size K of the rating scale.
        group_sizes: Views per group of the view policy.

    Raises:
        ConfigError: No such backbone, or an option that it does not know.
    """
    if not isinstance(options, BackboneOptions):
        options = BackboneOptions.from_dict(options or {})
    return NIMA(build_backbone(backbone, options), grades=grades, group_sizes=group_sizes)


def build_nima_for(card: ModelCard) -> NIMA:
    """Build the network that `card` describes, with random weights."""
    return build_nima(
        card.backbone,
        options=card.backbone_options,
        grades=card.scale.size,
        group_sizes=card.view.group_sizes,
    )


def require_card(nima: NIMA, card: ModelCard, file: object) -> None:
    """Stop where a network and the card it is about to be written with do not fit.

    Raises:
        WeightsError: Names the file, and what differs.
    """
    if nima.group_sizes != card.view.group_sizes or nima.head.out_features != card.scale.size:
        raise WeightsError(
            f"{file}: the network takes views in groups of {nima.group_sizes} and gives "
            f"{nima.head.out_features} grades, its card says {card.view.group_sizes} and "
            f"{card.scale.size}"
        )
