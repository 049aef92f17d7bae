"""Platforms' messages in. An adapter here knows one platform's words, and nothing of the ledger."""
