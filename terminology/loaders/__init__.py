"""Official release files of each code system, read as a stream."""
