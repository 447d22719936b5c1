"""What goes wrong in ordinary life, as one sentence for standard error."""

import psycopg2
from psycopg2.errors import InsufficientPrivilege

from jifen.order_rows import ImportRefused
from jifen.postgres_home import EmbeddedPostgresError
from jifen.refused import Refused
from ledger.errors import Refusal
from ledger.programme import ProgrammeErrors
from ledger.settings import SettingsError
from ledger.store.migrate import MigrationError

_SENTENCES = (EmbeddedPostgresError, ImportRefused, MigrationError, Refused, SettingsError)


def as_sentence(problem: BaseException) -> str | None:
    """What to tell the operator; None for a fault of our own, which deserves its traceback."""
    if isinstance(problem, Refusal):
        return problem.detail
    if isinstance(problem, ProgrammeErrors):
        return f"The programme can't be published:\n{problem}"
    if isinstance(problem, InsufficientPrivilege):
        return _lacks_rights(problem)
    if isinstance(problem, MigrationError) and isinstance(problem.__cause__, InsufficientPrivilege):
        return _lacks_rights(problem.__cause__)
    if isinstance(problem, psycopg2.OperationalError):
        said = " ".join(str(problem).split())
        return f"The database can't be used; see JIFEN_DATABASE_URL. {said}"
    return str(problem) if isinstance(problem, _SENTENCES) else None


def _lacks_rights(problem: InsufficientPrivilege) -> str:
    said = problem.diag.message_primary or "it lacks rights"
    return f"The user of JIFEN_DATABASE_URL must own the database. PostgreSQL says: {said}."
