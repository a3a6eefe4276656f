"""Recordings: find them, check them, decode them once, split them by fold."""
