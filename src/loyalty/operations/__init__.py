"""Writes: a verb per file. They all leave through one door, `door.py`."""
