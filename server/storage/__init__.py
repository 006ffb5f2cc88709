"""Everything the server keeps, and the only SQL of the server. `open_store` is the way in."""

from server.storage.database_url import DatabaseUrlError, open_store

__all__ = ["DatabaseUrlError", "open_store"]
