"""The server: every verb of `app` over HTTP, and the paths that documents print."""
