"""The domain of Jifen: members, points, programmes, and the append-only log that holds them.

Imports nothing of ours outside itself; knows neither Flask nor APScheduler.
Read in this order: `events`, `member`, `ledger`.
"""
