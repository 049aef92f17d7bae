"""What is true: members, entries, books, lots, settling, earning, tiers, refusals. Pure: no I/O, no clock, no SQL."""
