"""A witness (C2SP tlog-witness): cosigns the heads of logs that provably continue what it saw before, on a host of somebody else.

It needs no database, no broker and nothing of the audit service but the formats of the log.
"""
