"""For those who write maps: explain, test, record, coverage, documents."""
