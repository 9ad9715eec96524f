"""The offline verifier: a second opinion on the audit log, from files alone and with code of its own."""
