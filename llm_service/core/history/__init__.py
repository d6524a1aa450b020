"""Stored generations: lists, search, deletion."""
