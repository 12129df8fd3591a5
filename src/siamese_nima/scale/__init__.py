"""Scoring on many machines: Ray Data hands out the work, every worker scores as one does alone."""
