"""From names on a command line to the pixels a network sees.

`find_photos` lists photos, `read_photo` gives one as upright sRGB pixels, and a `ViewPolicy` cuts
views from those.
"""

from siamese_nima.photos.find import FoundPhotos, find_photos
from siamese_nima.photos.read import Photo, PhotoSource, open_photo, read_photo
from siamese_nima.photos.views import Crops, Native, Pad, ViewGroup, ViewPolicy, Warp

__all__ = [
    "Crops",
    "FoundPhotos",
    "Native",
    "Pad",
    "Photo",
    "PhotoSource",
    "ViewGroup",
    "ViewPolicy",
    "Warp",
    "find_photos",
    "open_photo",
    "read_photo",
]
