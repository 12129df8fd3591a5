"""A scored folder as a page that a server shows, with the original photos behind it."""
