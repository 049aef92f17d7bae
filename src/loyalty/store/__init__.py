"""How a noun is stored: each file holds its tables beside its statements. The only room that speaks SQL."""
