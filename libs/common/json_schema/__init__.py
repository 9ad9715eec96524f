"""A bounded subset of JSON Schema: which schemas are taken, what fits one, and what a newer one may refuse."""
