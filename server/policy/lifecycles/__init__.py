"""State machines of care, one JSON file each, read by `server.policy.lifecycle`."""
