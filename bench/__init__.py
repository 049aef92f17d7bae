"""Measurements and large comparisons: run by hand, never imported by the service."""
