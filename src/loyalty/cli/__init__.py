"""The command line: `loyalty dev | serve | worker | migrate | import | verify ...`."""
