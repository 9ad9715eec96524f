"""Finding attacks in facts: by rules that are data, in sliding windows, once however many gateways look."""
