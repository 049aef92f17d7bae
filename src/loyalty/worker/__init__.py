"""Background: the same verbs in bounded batches."""
