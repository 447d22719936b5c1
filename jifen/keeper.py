"""The keeper: a small process that ends the embedded PostgreSQL when its last user is gone.

Every process that uses the server holds a shared lock on one file. The kernel drops that lock
however the process ends, by kill -9 too; then the keeper gets the lock exclusively, stops the
server cleanly, and ends. So no server outlives its users, and none is stopped under one of them.

Run by `jifen.embedded` as a script, with nothing but the standard library, to stay small.
"""

import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path


def main(arguments: str) -> int:
    """Wait until nobody uses the server, then stop it. Returns pg_ctl's exit status."""
    given = json.loads(arguments)
    users = os.open(given["users"], os.O_RDWR)
    fcntl.flock(users, fcntl.LOCK_EX)
    pid_file = Path(given["cluster"]) / "postmaster.pid"
    if not pid_file.exists():
        # A start that was interrupted may be about to write it.
        time.sleep(0.2)
    if not pid_file.exists():
        return 0
    other = given["as_user"]
    stop = [given["pg_ctl"], "stop", "-D", given["cluster"], "-m", "fast", "-w", "-t", "600"]
    return subprocess.run(
        stop,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
        **other,
    ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
