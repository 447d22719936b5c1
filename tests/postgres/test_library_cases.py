"""The eventsourcing library's own test cases, on our recorders and a real server."""

from __future__ import annotations

from uuid import uuid4

import pytest
from eventsourcing.persistence import InfrastructureFactory, TrackingRecorder
from eventsourcing.tests import persistence as library
from eventsourcing.utils import Environment

from ledger.store import Factory
from ledger.store.database import Database
from ledger.store.recorders import (
    LogProcessRecorder,
    LogRecorder,
    LogTrackingRecorder,
    StreamRecorder,
)


class OnFreshDatabase:
    """Gives a case a fresh database, and stream ids of our kind."""

    @pytest.fixture(autouse=True)
    def _fresh_database(self, database: Database) -> None:
        self.database = database

    def new_originator_id(self) -> str:
        return f"member/{uuid4()}"


class TestStreamRecorder(OnFreshDatabase, library.AggregateRecorderTestCase):
    def create_recorder(self) -> StreamRecorder:
        return StreamRecorder(self.database)


class TestLogRecorder(OnFreshDatabase, library.ApplicationRecorderTestCase[LogRecorder]):
    def create_recorder(self) -> LogRecorder:
        return LogRecorder(self.database)

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestTrackingRecorder(OnFreshDatabase, library.TrackingRecorderTestCase):
    def create_recorder(self) -> LogTrackingRecorder:
        return LogTrackingRecorder(self.database)


class TestProcessRecorder(OnFreshDatabase, library.ProcessRecorderTestCase):
    def create_recorder(self) -> LogProcessRecorder:
        return LogProcessRecorder(self.database)


class TestPositionsDoNotInterleave(OnFreshDatabase, library.NonInterleavingNotificationIDsBaseCase):
    def create_recorder(self) -> LogRecorder:
        return LogRecorder(self.database)


class CustomTrackingRecorder(LogTrackingRecorder):
    pass


class TestFactory(library.InfrastructureFactoryTestCase[Factory]):
    @pytest.fixture(autouse=True)
    def _environment(self, database_url: str) -> None:
        self.env = Environment(
            "Members",
            {
                InfrastructureFactory.PERSISTENCE_MODULE: "ledger.store",
                "JIFEN_DATABASE_URL": database_url,
            },
        )

    def expected_factory_class(self) -> type[Factory]:
        return Factory

    def expected_aggregate_recorder_class(self) -> type[StreamRecorder]:
        return StreamRecorder

    def expected_application_recorder_class(self) -> type[LogRecorder]:
        return LogRecorder

    def expected_tracking_recorder_class(self) -> type[LogTrackingRecorder]:
        return LogTrackingRecorder

    def tracking_recorder_subclass(self) -> type[TrackingRecorder]:
        return CustomTrackingRecorder

    def expected_process_recorder_class(self) -> type[LogProcessRecorder]:
        return LogProcessRecorder

    def test_mapper_with_wrong_cipher_key(self) -> None:
        # This one stores an event of the library's own kind.
        self.env[InfrastructureFactory.MAPPER_TOPIC] = "eventsourcing.persistence:Mapper"
        super().test_mapper_with_wrong_cipher_key()
