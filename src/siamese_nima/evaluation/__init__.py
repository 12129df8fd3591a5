"""How well scores agree with people: figures and their intervals. Needs scipy, never torch."""
