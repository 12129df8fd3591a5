import numpy as np

from siamese_nima.training.photo_loader import EpochDraws, RatedViews, plain_loader, train_loader


def rated(photos: int = 7, variants: int = 3) -> RatedViews:
    inputs = np.zeros((variants, photos, 1, 2, 2, 3), dtype=np.uint8)
    inputs += np.arange(variants, dtype=np.uint8)[:, None, None, None, None, None] * 10
    inputs += np.arange(photos, dtype=np.uint8)[:, None, None, None, None]
    return RatedViews(inputs, np.full((photos, 10), 0.1), np.arange(photos, dtype=float))


def test_an_epoch_draws_each_photo_once_in_some_variant() -> None:
    draws = list(EpochDraws(7, 3, seed=0))
    assert sorted(row for _, row in draws) == list(range(7))
    assert {variant for variant, _ in draws} <= {0, 1, 2}


def test_a_draw_depends_on_seed_and_epoch_alone() -> None:
    def drawn(seed: int, epoch: int) -> list[tuple[int, int]]:
        draws = EpochDraws(7, 3, seed)
        draws.start_epoch(epoch)
        return list(draws)

    assert drawn(0, 3) == drawn(0, 3)
    assert drawn(0, 3) != drawn(0, 4)
    assert drawn(0, 3) != drawn(1, 3)


def test_inputs_stay_beside_their_distributions() -> None:
    views = rated()
    distributions = np.eye(10)[:7]
    views = RatedViews(views.inputs, distributions, views.means)
    loader = train_loader(views, 2, EpochDraws(7, 3, seed=0))
    batches = list(loader)
    assert len(batches) == 3
    for inputs, targets in batches:
        assert inputs.dtype.is_floating_point is False
        assert (inputs[:, 0, 0, 0, 0] % 10).tolist() == targets.argmax(1).tolist()


def test_validation_sees_all_photos_in_order_as_scoring_does() -> None:
    batches = list(plain_loader(rated(), 3))
    assert [row for inputs, _ in batches for row in inputs[:, 0, 0, 0, 0].tolist()] == list(
        range(7)
    )
