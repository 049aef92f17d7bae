"""Yardsticks, frozen: what Postgres itself can do, what a conventional service does, what plain HTTP costs."""
