"""File formats in. A reader here turns hostile bytes into facts or says which row is bad, and why."""
