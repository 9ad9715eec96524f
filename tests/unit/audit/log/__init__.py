"""The verifiable log's pure rooms, against published vectors, another implementation, and properties."""
