"""Settings by every name that they may come by: ours win, those of documents are understood, what can't be is said."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from click.testing import CliRunner
from psycopg import sql
from tests.conftest import reachable
from tests.deciding import tenancy
from tests.s3 import server

from foretell.app.tenant_settings import in_force
from foretell.cli import cli
from foretell.domains.inventory.schema import Settings
from foretell.errors import Misconfigured
from foretell.settings import DOCUMENTED, ForetellSettings, source
from foretell.stores import launcher
from foretell.stores.access import DATABASE, LOGIN, secret
from foretell.stores.blobs import Blobs

Give = Callable[..., ForetellSettings]
PARTS = {"DB_HOST": "db.example.org", "DB_NAME": "solarsync", "DB_USER": "sun", "DB_PASSWORD": "shine"}
TOLD = {  # by the documents' names, what they or their kind print, and what becomes of it
    "database": ("postgresql://user:password@localhost:5432/inventory_db",) * 2,
    "blobs": ("your-ml-models-bucket", "s3://your-ml-models-bucket"),
    "redis": ("redis://redis:6379/0",) * 2,
    "host": ("0.0.0.0", "0.0.0.0"),
    "port": ("8001", 8001),
    "workers": ("2", 2),
    "timeout": ("300", 300.0),
    "log_level": ("INFO", "info"),
    "secret": ("your-secret-key-for-development",) * 2,
    "cache_ttl": ("7200", 7200.0),
    "min_training_days": ("30", "30"),
    "prophet_seasonality_mode": ("additive", "additive"),
    "prophet_interval_width": ("0.95", "0.95"),
}


@pytest.fixture
def give(monkeypatch: pytest.MonkeyPatch) -> Iterator[Give]:
    """The settings that these variables make, and no others."""
    for name in [each for each in os.environ if each.startswith(("FORETELL_", "DB_", "REDIS_", "AWS_", "CELERY_"))]:
        monkeypatch.delenv(name)

    def given(**environment: str) -> ForetellSettings:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return ForetellSettings()

    yield given
    in_force.cache_clear()


@pytest.mark.row("I8")
@pytest.mark.parametrize("field", DOCUMENTED)
def test_a_documents_name_is_understood_and_ours_wins(give: Give, field: str) -> None:
    value, becomes = TOLD[field]
    assert getattr(give(**{DOCUMENTED[field]: value}), field) == becomes
    assert source(field) == DOCUMENTED[field]
    ours = {
        "port": "9",
        "workers": "3",
        "timeout": "7",
        "cache_ttl": "60",
        "log_level": "debug",
        "database": "postgres://a@b/c",
        "redis": "rediss://:a@b/1",
    }
    name = f"FORETELL_{field.upper()}"
    settings = give(**{name: ours.get(field, "another")})
    assert str(getattr(settings, field)).removesuffix(".0") == ours.get(field, "another")
    assert source(field) == name


def test_what_a_compose_file_leaves_empty_is_not_told(give: Give) -> None:
    settings = give(DATABASE_URL="", FORETELL_PORT="", ML_PORT="", DB_HOST="", LOG_LEVEL="")
    assert (settings.database, settings.port, settings.log_level) == (None, 8000, "info")
    assert source("port") is None


@pytest.mark.row("I8")
def test_keys_and_urls_are_told_by_provider_and_source(give: Give) -> None:
    settings = give(FORETELL_URLS__OPEN_METEO="https://mirror.example/om/", OPENWEATHER_API_KEY="theirs")
    assert settings.urls == {"open_meteo": "https://mirror.example/om"}
    assert settings.keys["openweather"].get_secret_value() == "theirs"
    assert (source("keys"), source("urls")) == ("OPENWEATHER_API_KEY", "FORETELL_URLS__OPEN_METEO")
    settings = give(FORETELL_KEYS__OPENWEATHER="ours", FORETELL_KEYS__OTHER="more")
    assert {name: key.get_secret_value() for name, key in settings.keys.items()} == {
        "openweather": "ours", "other": "more",
    }  # fmt: skip
    assert source("keys") == "FORETELL_KEYS__OPENWEATHER"
    assert "ours" not in repr(settings)


@pytest.mark.row("I8")
def test_a_database_in_parts_makes_a_url(give: Give) -> None:
    assert give(**PARTS).database == "postgresql://sun:shine@db.example.org:5432/solarsync"
    assert source("database") == "DB_HOST"
    assert give(DB_PORT="6000", DB_PASSWORD="").database == "postgresql://sun@db.example.org:6000/solarsync"
    assert give(DB_HOST="::1").database == "postgresql://sun@[::1]:6000/solarsync"
    assert give(DATABASE_URL="postgresql://a@b/c").database == "postgresql://a@b/c"
    assert give(FORETELL_DATABASE="postgresql://d@e/f").database == "postgresql://d@e/f"


@pytest.mark.row("I8")
def test_a_bucket_has_the_region_and_the_address_that_are_told_beside_it(
    give: Give, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with server(monkeypatch) as address:
        told = {"AWS_STORAGE_BUCKET_NAME": "models", "AWS_S3_REGION_NAME": "us-east-1", "AWS_S3_ENDPOINT_URL": address}
        settings = give(**told)
        assert settings.blobs
        assert source("blobs") == "AWS_STORAGE_BUCKET_NAME"
        (tmp_path / "note.txt").write_text("kept")
        kept = Blobs(settings.blobs).put("acme", tmp_path)
        assert Blobs(f"s3://models?region=us-east-1&endpoint={address}").sizes("acme") == {kept.address: kept.size}
        assert give(FORETELL_BLOBS="s3://ours/place").blobs == "s3://ours/place"


@pytest.mark.row("I8")
def test_a_redis_is_told_in_one_in_parts_or_as_celerys(give: Give) -> None:
    assert give(CELERY_BROKER_URL="amqp://me:secret@queue").redis is None
    assert give(CELERY_RESULT_BACKEND="redis://results:6379/1").redis == "redis://results:6379/1"
    assert give(CELERY_BROKER_URL="redis://broker:6379/0").redis == "redis://broker:6379/0"
    assert source("redis") == "CELERY_BROKER_URL"
    assert give(REDIS_HOST="localhost").redis == "redis://localhost:6379/0"
    assert source("redis") == "REDIS_HOST"
    assert give(REDIS_PORT="7000", REDIS_DB="3", REDIS_PASSWORD="a/b").redis == "redis://:a%2Fb@localhost:7000/3"
    assert give(REDIS_HOST="::1").redis == "redis://:a%2Fb@[::1]:7000/3"
    assert give(REDIS_URL="redis://one").redis == "redis://one"
    assert give(FORETELL_REDIS="rediss://two:1/2").redis == "rediss://two:1/2"


@pytest.mark.parametrize("password", ["p@ss:w/rd", "100%", "ü & #?=+ ", "[::1]", "\\'\""])
def test_the_parts_log_in_whatever_the_password_holds(home: Path, give: Give, password: str) -> None:
    server = launcher.start(home)
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE parts LOGIN PASSWORD {}").format(password))
        try:
            settings = give(DB_HOST=str(server.socket), DB_NAME="postgres", DB_USER="parts", DB_PASSWORD=password)
            assert settings.database
            with psycopg.connect(settings.database) as mine:
                assert mine.info.user == "parts"
        finally:
            connection.execute("DROP ROLE parts")


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"ML_PORT": "99999"}, ["ML_PORT=99999", "65535", "type: export ML_PORT=8000"]),
        ({"ML_PORT": "http"}, ["ML_PORT=http", "type: export ML_PORT=8000"]),
        ({"WORKER_COUNT": "0"}, ["WORKER_COUNT=0", "type: export WORKER_COUNT=1"]),
        ({"WORKER_TIMEOUT": "-5"}, ["WORKER_TIMEOUT=-5", "type: export WORKER_TIMEOUT=300"]),
        ({"LOG_LEVEL": "loud"}, ["LOG_LEVEL=loud", "'warning'", "type: export LOG_LEVEL=info"]),
        ({"FORETELL_READ_ONLY": "perhaps"}, ["FORETELL_READ_ONLY=perhaps"]),
        ({"DATABASE_URL": "mysql://me:secret@h/n"}, ["DATABASE_URL", "mysql", "write postgresql://"]),
        ({"DATABASE_URL": "postgresql://me:secret@h:x/n"}, ["DATABASE_URL", "Port"]),
        ({"DB_HOST": "h"}, ["DB_NAME, DB_USER", "type: export DB_NAME=… DB_USER=…"]),
        ({**PARTS, "DB_PORT": "many"}, ["DB_PORT='many'", "type: export DB_PORT=5432"]),
        ({"REDIS_URL": "memcached://me:secret@h"}, ["REDIS_URL: it is no Redis", "write redis://"]),
        ({"REDIS_HOST": "h", "REDIS_PORT": "tcp://h:1"}, ["REDIS_HOST", "Port"]),
        ({"FORETELL_KEYS": "secret"}, ["FORETELL_KEYS", "type: export FORETELL_KEYS__NAME=…"]),
        ({"FORETELL_KEYS": '["secret"]'}, ["FORETELL_KEYS: ", "dictionary"]),
        (
            {"FORETELL_URLS__OPEN_METEO": "api.example"},
            ["FORETELL_URLS__OPEN_METEO: it is no URL", "https://host/path"],
        ),
    ],
    ids=str,
)
def test_what_can_not_be_is_said_with_its_name_and_a_line_to_type(
    give: Give, told: dict[str, str], words: list[str]
) -> None:
    with pytest.raises(Misconfigured) as refused:
        give(**told)
    for each in words:
        assert each in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_command_refuses_in_a_line(home: Path) -> None:
    command = [str(Path(sys.executable).with_name("foretell")), "serve"]
    environment = os.environ | {"WORKER_COUNT": "many"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "WORKER_COUNT=many" in line


def test_the_help_of_serve_names_what_its_options_may_be_called() -> None:
    said = CliRunner().invoke(cli, ["serve", "--help"]).output
    for field in ("host", "port", "workers", "timeout", "log_level"):
        assert f"FORETELL_{field.upper()}" in said
        assert DOCUMENTED[field] in said


# ---------------------------------------------------------------- defaults of tenants


def test_the_defaults_of_tenants_come_from_outside_and_a_tenants_own_win(home: Path, give: Give) -> None:
    give(FORETELL_HOME=str(home), MIN_TRAINING_DAYS="45")
    with tenancy() as app:
        assert least(app.settings.show("inventory")) == 45
        assert least(app.settings.change("inventory", {"minimum_days": 60})) == 60
        assert least(app.settings.show("inventory")) == 60
        assert least(app.settings.change("inventory", {"minimum_days": None})) == 45
        give(FORETELL_MIN_TRAINING_DAYS="20")
        in_force.cache_clear()
        assert least(app.settings.show("inventory")) == 20


def least(settings: Any) -> int:
    assert isinstance(settings, Settings)
    return settings.minimum_days


def test_a_default_that_can_not_be_is_refused_before_anything_is_opened(home: Path, give: Give) -> None:
    give(FORETELL_HOME=str(home), MIN_TRAINING_DAYS="3")
    with (
        pytest.raises(Misconfigured, match=r"MIN_TRAINING_DAYS=3: .* 14; type: export MIN_TRAINING_DAYS=30"),
        tenancy(),
    ):
        pass


# ---------------------------------------------------------------- the doctor


def test_the_doctor_says_by_which_name_a_setting_came(give: Give) -> None:
    with reachable() as folder:
        launcher.start(folder)
        try:
            give(FORETELL_HOME=str(folder), ML_PORT="8001")
            assert (
                "settings   home from FORETELL_HOME, port from ML_PORT\n" in CliRunner().invoke(cli, ["doctor"]).output
            )
        finally:
            launcher.stop(folder)


def test_a_database_by_a_documents_name_is_named_so(home: Path, give: Give) -> None:
    server = launcher.start(home)
    url = f"postgresql://{LOGIN}:{quote(secret(server, LOGIN))}@{quote(str(server.socket), safe='')}:5432/{DATABASE}"
    give(DATABASE_URL=url)
    refused = CliRunner().invoke(cli, ["stop"]).exception
    assert isinstance(refused, Misconfigured)
    assert "DATABASE_URL names a PostgreSQL that is not ours to stop" in str(refused)
