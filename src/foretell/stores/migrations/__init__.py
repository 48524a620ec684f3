"""The engine's own tables, version by version; a domain's tables follow its declarations (`stores.declared`)."""

HEAD = "0015"
"""The newest version; versions sort as text."""
