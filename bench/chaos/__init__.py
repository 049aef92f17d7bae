"""The service under load while everything around it fails, and a check that nobody was lied to."""
