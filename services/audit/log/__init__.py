"""The verifiable log: its tree, proofs, checkpoints, tiles and files. Pure, and the same for server, signer and tests."""
