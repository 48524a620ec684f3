"""The server: every verb of `app` over HTTP, and the paths that documents print.

Answers are small, many are made at once, and Polars' threads cost more than they bring then: a process that answers
gives it one. Polars looks that up when it is imported; processes that are started from here have their own.
"""

import os

THREADS = "POLARS_MAX_THREADS"

if THREADS not in os.environ:
    os.environ[THREADS] = "1"
    import polars  # noqa: F401 - with one thread

    del os.environ[THREADS]
