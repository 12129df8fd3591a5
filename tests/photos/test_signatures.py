import numpy as np
from PIL import Image

from siamese_nima.photos.signatures import difference_hash


def test_the_difference_hash_has_a_bit_per_brighter_right_neighbour():
    ramp = np.tile(np.arange(0, 252, 28, dtype=np.uint8), (8, 1))
    assert difference_hash(Image.fromarray(ramp)) == 2**64 - 1
    assert difference_hash(Image.fromarray(ramp[:, ::-1].copy())) == 0
