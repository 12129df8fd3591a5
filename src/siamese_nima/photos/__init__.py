"""From names on a command line to the pixels a network sees.

`find_photos` lists photos, `read_photo` gives one as upright sRGB pixels, and a `ViewPolicy` cuts
views from those.
"""

from siamese_nima.photos.find import FoundPhotos, find_photos
from siamese_nima.photos.read import PhotoSource, read_photo
from siamese_nima.photos.views import Crops, Native, Pad, ViewGroup, ViewPolicy, Warp

__all__ = [
    "Crops",
    "FoundPhotos",
    "Native",
    "Pad",
    "PhotoSource",
    "ViewGroup",
    "ViewPolicy",
    "Warp",
    "find_photos",
    "read_photo",
]
