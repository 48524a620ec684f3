"""The domains that come with foretell; strangers to each other."""
