"""The model bundle: one directory that training writes and serving loads."""
