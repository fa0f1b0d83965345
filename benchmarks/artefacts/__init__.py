"""Model files for the rivals that only run files; each is written once, before anything is measured."""
