"""Everything that follows from the journal, worked out again: to prove what is kept, or to ask what would have been."""
