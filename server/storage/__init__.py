"""Everything the server keeps, and the only SQL of the server. `open_store` is the way in."""
