"""What is due by the clock: jobs that send ordinary commands, and the process that starts them.

May import `ledger` and `projections`; never `api`. Holds no state of its own (DESIGN 2.10): the
timetable is code, what has run is rows, and each job asks the ledger what is due at a moment. So a
run that is missed, doubled or broken off is made good by the next.

    jobs.py       the jobs by name, and one run of one
    lease.py      one leader among several processes
    timetable.py  when each job runs
    runner.py     the process: `python -m scheduler`
"""
