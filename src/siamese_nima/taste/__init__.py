"""One person's taste: answers to 'which is better?', the strengths they give, what is learnt."""
