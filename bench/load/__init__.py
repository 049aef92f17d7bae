"""Load from outside: wrk with its scripts, and a generator that keeps a rate whatever the server does."""
