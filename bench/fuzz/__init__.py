"""Fuzzing: whatever the contract allows, and what it does not, is sent to a running server. See README.md."""
