"""A page that shows two photos and asks which is better."""

from siamese_nima.web.pick.app import pick_app

__all__ = ["pick_app"]
