"""The settings of API.md, "Running it"."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from ledger.settings import Settings, SettingsError
from ledger.settings_reference import settings_page

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"


def test_without_any_variable_the_documented_defaults_hold() -> None:
    settings = Settings.from_environment({})
    assert settings.database_url is None
    assert settings.data_dir == Path("var")
    assert (settings.host, settings.port) == ("127.0.0.1", 8080)
    assert settings.admin_key is None
    assert settings.programme is None
    assert settings.workers == 2


def test_an_empty_value_is_no_value() -> None:
    assert Settings.from_environment({"JIFEN_PORT": "", "JIFEN_DATABASE_URL": " "}) == Settings()


def test_what_is_set_is_read() -> None:
    settings = Settings.from_environment(
        {
            "JIFEN_DATABASE_URL": "postgresql://jifen:geheim@db/jifen",
            "JIFEN_DATA_DIR": "/srv/jifen",
            "JIFEN_PORT": "9000",
            "JIFEN_WORKERS": "4",
            "JIFEN_LOG_LEVEL": "DEBUG",
        }
    )
    assert settings.database_url == "postgresql://jifen:geheim@db/jifen"
    assert settings.data_dir == Path("/srv/jifen")
    assert (settings.port, settings.workers, settings.log_level) == (9000, 4, "debug")


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("JIFEN_PORT", "http", "JIFEN_PORT: 'http' can't be used; give a whole number from 1 to"),
        ("JIFEN_PORT", "70000", "from 1 to 65535"),
        ("JIFEN_WORKERS", "0", "JIFEN_WORKERS"),
        ("JIFEN_DATABASE_URL", "mysql://root:geheim@db", "give a URL such as postgresql://"),
        ("JIFEN_LOG_LEVEL", "loud", "give one of debug, info, warning, error"),
    ],
)
def test_a_bad_value_is_named_with_what_can_be_given(
    variable: str, value: str, sentence: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment({variable: value})
    assert sentence in str(refused.value)
    assert "geheim" not in str(refused.value)


def test_secrets_stay_out_of_the_repr() -> None:
    settings = Settings(database_url="postgresql://jifen:geheim@db/jifen", admin_key="geheim")
    assert "geheim" not in repr(settings)


def test_every_setting_says_what_it_means() -> None:
    for each in fields(Settings):
        assert each.metadata["variable"].startswith("JIFEN_")
        assert each.metadata["meaning"].endswith(".")


def test_the_reference_page_says_what_the_settings_say() -> None:
    written = PAGE.read_text(encoding="utf-8")
    assert written == settings_page(), (
        "python -m ledger.settings_reference > docs/reference/settings.md"
    )
    for each in fields(Settings):
        assert f"| `{each.metadata['variable']}` |" in written
        assert each.metadata["meaning"] in written
