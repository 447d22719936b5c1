"""What the eventsourcing library builds its persistence with: PERSISTENCE_MODULE=ledger.store."""

from __future__ import annotations

from typing import Any

from eventsourcing.persistence import (
    InfrastructureFactory,
    InfrastructureFactoryError,
    Mapper,
    Transcoder,
)
from eventsourcing.utils import Environment, EnvType, resolve_topic

from ledger.settings import Settings
from ledger.store.database import Database
from ledger.store.mapper import EventMapper
from ledger.store.recorders import (
    LogProcessRecorder,
    LogRecorder,
    LogTrackingRecorder,
    StreamRecorder,
)


class Factory(InfrastructureFactory[LogTrackingRecorder]):
    """Builds recorders on the database named by JIFEN_DATABASE_URL in the library's environment.

    The database must have been migrated (`ledger.store.migrate`): recorders make no tables.
    """

    def __init__(self, env: Environment | EnvType | None) -> None:
        super().__init__(env)
        settings = Settings.from_environment(self.env)
        if settings.database_url is None:
            raise InfrastructureFactoryError(
                "JIFEN_DATABASE_URL is not set: give the URL of a migrated database."
            )
        self.database = Database(
            settings.database_url,
            connections=settings.connections,
            lock_timeout_seconds=settings.lock_timeout_seconds,
        )

    def mapper(
        self,
        transcoder: Transcoder | None = None,
        mapper_class: type[Mapper[Any]] | None = None,
    ) -> Mapper[Any]:
        """The mapper of the ledger's events, unless a class or MAPPER_TOPIC names another."""
        if mapper_class is None and not self.env.get(self.MAPPER_TOPIC):
            mapper_class = EventMapper
        return super().mapper(transcoder, mapper_class)

    def aggregate_recorder(self, purpose: str = "events") -> StreamRecorder:
        """A recorder of streams; there is none for the library's snapshots."""
        if purpose != "events":
            raise InfrastructureFactoryError(
                f"Nothing is recorded for {purpose!r}: the ledger keeps each member's state "
                "beside the log, so leave IS_SNAPSHOTTING_ENABLED unset."
            )
        return StreamRecorder(self.database)

    def application_recorder(self) -> LogRecorder:
        """A recorder of the whole log."""
        return LogRecorder(self.database)

    def tracking_recorder(
        self, tracking_recorder_class: type[LogTrackingRecorder] | None = None
    ) -> LogTrackingRecorder:
        """A recorder of how far readers have come, of the given or the environment's class."""
        if tracking_recorder_class is None:
            topic = self.env.get(self.TRACKING_RECORDER_TOPIC)
            tracking_recorder_class = resolve_topic(topic) if topic else LogTrackingRecorder
        return tracking_recorder_class(self.database)

    def process_recorder(self) -> LogProcessRecorder:
        """A recorder of the log and of tracking, in one transaction."""
        return LogProcessRecorder(self.database)

    def close(self) -> None:
        """Close the connections."""
        self.database.close()
