"""Point-in-time parts that any domain may use, as Polars expressions and small frame functions."""
