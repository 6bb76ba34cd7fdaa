"""What plays, and how it is kept on disk."""
