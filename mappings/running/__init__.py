"""Rules at work on one message: where they read, what they build, what they leave in the trace."""
