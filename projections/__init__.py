"""What is read in lists and pages: views kept behind the log by a process of their own.

May import `ledger`; never `api` or `scheduler`. A view is disposable: it follows from the log
alone, can be rebuilt while it serves, decides nothing and sends nothing.

    view.py        what a view is; `views.py` lists them
    history.py     every event of a member, each with the balance before and after
    members.py     one row per member
    lots.py        one row per points lot
    log.py         reading the log onward
    bad_events.py  what a view could not take
    writing.py     many rows in one statement
    positions.py   how far each view has come; waiting for it
    follower.py    one view following the log, setting bad events aside
    rebuilding.py  a view made anew beside the old one, and swapped
    runner.py      the process: `python -m projections`
"""

from projections.positions import ViewStatus, last_position, status, wait_for

__all__ = ["ViewStatus", "last_position", "status", "wait_for"]
