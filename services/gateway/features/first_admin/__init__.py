"""The first administrator, without whom there is nobody to make others."""
