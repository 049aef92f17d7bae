"""A real grocery year as facts for the ledger, and what the ledger must make of them. See README.md."""
