"""The settings service: typed settings, their history and their secrets."""
