"""What judges: one judge, its statistics, its films and its report."""
