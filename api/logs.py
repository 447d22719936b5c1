"""The API's log: requests by a logger of their own, and the form that all processes share."""

from ledger.log_lines import REQUESTS, JsonLines, log_to

__all__ = ["REQUESTS", "JsonLines", "log_to"]
