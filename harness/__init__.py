"""What ties games, learners and judge together: the command line, the profiles, the comparison."""
