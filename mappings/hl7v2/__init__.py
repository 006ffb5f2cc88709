"""HL7 v2 messages as bytes: read lazily with exact positions, grouped, acknowledged, taken out of batches."""
