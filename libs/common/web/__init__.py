"""What every HTTP application of Reeve has: probes, metrics, errors, paging, streams."""
