"""The game: one Breakout, one observation, for everybody."""
