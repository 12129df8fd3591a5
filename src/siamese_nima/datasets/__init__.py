"""Rated photos: one rating table, readers that fill it, and a cache of decoded views."""
