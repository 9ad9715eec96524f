"""A demonstration: drives a running platform with believable traffic and compares what was sent with what is stored."""
