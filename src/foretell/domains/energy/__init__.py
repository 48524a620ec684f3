"""Energy: what sun and wind will give."""
