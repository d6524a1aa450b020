"""Files in the data folder."""
