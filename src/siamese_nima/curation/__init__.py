"""What people do with scores: pages to look at, bursts, stars, explanations, crops."""
