"""What one process keeps in memory."""
