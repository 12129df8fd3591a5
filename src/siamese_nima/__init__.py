"""Score and rank photos by quality, on the owner's own machine."""
