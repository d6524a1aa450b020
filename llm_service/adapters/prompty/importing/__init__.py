"""Makes prompt files of this service from other people's `.prompty` files."""
