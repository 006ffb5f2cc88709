"""Tables of elements by type; generated."""
