"""Every setting, one class. Each can be given as `FORETELL_<NAME>`, which wins, or as documents of others call it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from foretell.engine.timetable import checked
from foretell.errors import InvalidRequest, Misconfigured

DOCUMENTED: Mapping[str, str] = {
    "database": "DATABASE_URL",  # else DB_HOST, DB_PORT, DB_NAME, DB_USER and DB_PASSWORD make one
    "blobs": "AWS_STORAGE_BUCKET_NAME",  # a bucket, with AWS_S3_REGION_NAME and AWS_S3_ENDPOINT_URL
    "redis": "REDIS_URL",  # else REDIS_HOST, REDIS_PORT, REDIS_DB and REDIS_PASSWORD make one, else Celery's is taken
    "host": "HOST",
    "port": "ML_PORT",
    "workers": "WORKER_COUNT",
    "timeout": "WORKER_TIMEOUT",
    "log_level": "LOG_LEVEL",
    "secret": "SECRET_KEY",
    "cache_ttl": "CACHE_TTL",
    "min_training_days": "MIN_TRAINING_DAYS",
    "prophet_seasonality_mode": "PROPHET_SEASONALITY_MODE",
    "prophet_interval_width": "PROPHET_INTERVAL_WIDTH",
}
"""What documents of others call our settings."""

OF_TENANTS: Mapping[str, Mapping[str, str]] = {
    "inventory": {
        "minimum_days": "min_training_days",
        "prophet_seasonality_mode": "prophet_seasonality_mode",
        "prophet_interval_width": "prophet_interval_width",
    }
}
"""By domain, the settings of tenants whose default is one of ours."""

KEYS: Mapping[str, str] = {"openweather": "OPENWEATHER_API_KEY"}
"""What documents of others call the keys of providers."""

CELERY = ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND")
"""Where documents of others name a Redis, if it is one."""

REDIS = ("redis", "rediss")  # schemes; the second with TLS

WHOLE = "FORETELL_DATABASE=postgresql://user:password@host:5432/database"


def _postgresql(url: str) -> str:
    told = urlsplit(url)
    if told.scheme not in ("postgresql", "postgres"):
        raise ValueError(f"{told.scheme or 'it'} is not PostgreSQL; write postgresql://user:password@host:5432/name")
    _ = told.port  # raises ValueError for one that can't be
    return url


def _redis(url: str) -> str:
    told = urlsplit(url)
    if told.scheme not in REDIS or not told.hostname:
        raise ValueError("it is no Redis; write redis://:password@host:6379/0, or rediss://… for TLS")
    _ = told.port  # raises ValueError for one that can't be
    return url


def _smtp(url: str) -> str:
    told = urlsplit(url)
    if told.scheme not in ("smtp", "smtps") or not told.hostname:
        raise ValueError("it is no mail server; write smtp://user:password@host:587, or smtps://…:465")
    _ = told.port
    return url


NIGHTLY = "0 2 * * *"


def _time(told: str) -> str:
    try:
        return told if told == "off" else checked(told)
    except InvalidRequest as error:
        raise ValueError(f"{error}; type: export FORETELL_BACKUP_AT='{NIGHTLY}', or off") from None


def _origins(told: str) -> str:
    for each in told.split():
        if _http(each).count("/") != 2:
            raise ValueError(f"{each} is more than an origin; write https://host, with spaces between several")
    return told


def _http(url: str) -> str:
    told = urlsplit(url)
    if told.scheme not in ("http", "https") or not told.netloc:
        raise ValueError("it is no URL of a provider; write https://host/path")
    return url.rstrip("/")


URL = Annotated[str, AfterValidator(_postgresql)]
Level = Annotated[
    Literal["debug", "info", "warning", "error"], BeforeValidator(lambda told: str(told).strip().lower())
]  # Django's are capitals


class ForetellSettings(BaseSettings):
    """What a process is told from outside. Raises Misconfigured for what can't be, with the name that it came by."""

    model_config = SettingsConfigDict(
        env_prefix="FORETELL_", env_nested_delimiter="__", env_ignore_empty=True, extra="ignore"
    )

    home: Path | None = None  # folder of our own PostgreSQL and of model files; the platform's place for a user's data
    database: URL | None = None  # another PostgreSQL (16 or newer), for a login without special rights
    database_owner: URL | None = (
        None  # the same database for one that may make roles and tables, to migrate and back up
    )
    blobs: str | None = None  # where model files go: file:///a/folder or s3://bucket/prefix; in `home` if not given
    redis: Annotated[str, AfterValidator(_redis)] | None = None  # where all processes count requests together
    bench_data: Path | None = None  # folder of the public data sets that the benchmarks read
    secret: str | None = None  # that tokens are signed with; in `home` if not given, which an outside database forbids
    secret_before: str | None = None  # another that they may be signed with, while the secret is changed
    issuer: str = "foretell"  # what tokens must say in `iss`
    audience: str = "foretell"  # and in `aud`
    host: str = "127.0.0.1"  # where the server listens,
    port: Annotated[int, Field(ge=1, le=65535)] = 8000  # and on which port
    workers: Annotated[int, Field(ge=1, le=64)] = 1  # processes that answer
    tls_cert: Path | None = None  # the chain of certificates that the server answers with, and
    tls_key: Path | None = None  # its key, both as PEM; without, it speaks plain HTTP
    origins: Annotated[str, AfterValidator(_origins)] = ""  # of pages that may ask from browsers (CORS)
    per_minute: Annotated[int, Field(ge=1)] | None = None  # requests that a user may send in any minute
    timeout: Annotated[float, Field(gt=0, le=86_400)] = 300.0  # seconds that a request may take
    cache_ttl: Annotated[float, Field(gt=0)] = 3600.0  # seconds that a loaded model stays in a process's memory
    log_level: Level = "info"  # from which on the server says things
    read_only: bool = False  # whether the database is opened as one who reads all, and writes predictions alone
    jobs: bool = True  # whether `foretell serve` runs a worker beside it
    beat: Annotated[float, Field(ge=0.1, le=300)] = 5.0  # seconds between a worker's signs of life; three count as lost
    backup_at: Annotated[str, AfterValidator(_time)] | None = None  # when a worker backs everything up, as cron (UTC)
    backups: Path | None = None  # the folder that goes into; `backups` in `home` if not given
    backups_kept: Annotated[int, Field(ge=1, le=1000)] = 7  # the newest, older ones are deleted
    mail: Annotated[str, AfterValidator(_smtp)] | None = None  # the server that notices go by: smtp://user:…@host:587
    mail_from: str = "foretell@localhost"  # who they are from
    chats: Annotated[str, AfterValidator(_origins)] = "https://hooks.slack.com"  # where tenants may have notices posted
    keys: dict[str, SecretStr] = Field(default={})  # by provider of a source: FORETELL_KEYS__OPENWEATHER
    urls: dict[str, Annotated[str, AfterValidator(_http)]] = Field(default={})  # by source, instead of its own
    min_training_days: str | None = None  # the default of a tenant's setting, as are those that follow; see OF_TENANTS
    prophet_seasonality_mode: str | None = None
    prophet_interval_width: str | None = None

    def __init__(self, **told: Any) -> None:
        """Read what is not `told` from the environment."""
        try:
            super().__init__(**(_documented() | told))
        except ValidationError as error:
            raise Misconfigured("; ".join(map(_words, error.errors()))) from None
        except SettingsError:  # of what it could not read it tells the field alone
            raise Misconfigured(
                "FORETELL_KEYS or FORETELL_URLS is no JSON; type: export FORETELL_KEYS__NAME=…"
            ) from None
        for provider, name in KEYS.items():
            if os.environ.get(name):
                self.keys.setdefault(provider, SecretStr(os.environ[name]))

    def of_tenants(self, domain: str) -> dict[str, Any]:
        """The defaults of a domain's settings that were told from outside, by field."""
        told = {field: getattr(self, name) for field, name in OF_TENANTS.get(domain, {}).items()}
        return {field: value for field, value in told.items() if value is not None}


def source(field: str) -> str | None:
    """The environment variable that a setting comes from; None for one that the environment does not tell."""
    ours = f"FORETELL_{field.upper()}"
    parts = [name for name in os.environ if name.upper().startswith(f"{ours}__")]  # of a setting with names of its own
    names: list[str] = [ours, *parts, DOCUMENTED.get(field, ""), *(KEYS.values() if field == "keys" else ())]
    if told := [name for name in names if os.environ.get(name)]:
        return told[0]
    if field == "database" and _parts():
        return "DB_HOST"
    if field == "redis":
        theirs = [name for name in CELERY if urlsplit(os.environ.get(name, "")).scheme in REDIS]
        return next((name for name in ("REDIS_HOST", *theirs) if os.environ.get(name)), None)
    return None


def _documented() -> dict[str, str]:
    """The settings that are told by the names of documents alone."""
    told = {field: os.environ[name] for field, name in DOCUMENTED.items() if source(field) == name}
    if source("database") == "DB_HOST":
        told["database"] = _url(_parts())
    if "blobs" in told:
        told["blobs"] = _bucket(told["blobs"])
    name = source("redis")
    if name == "REDIS_HOST":
        told["redis"] = _redis_url()
    elif name in CELERY:
        told["redis"] = os.environ[name]
    return told


def _bucket(name: str) -> str:
    """The URL of a bucket, in the region and at the address that are told beside it."""
    more = {"region": os.environ.get("AWS_S3_REGION_NAME"), "endpoint": os.environ.get("AWS_S3_ENDPOINT_URL")}
    query = urlencode({name: told for name, told in more.items() if told})
    return f"s3://{name}{query and '?'}{query}"


def _redis_url() -> str:
    """The URL of the Redis that REDIS_HOST and the like name."""
    told = {name: os.environ.get(f"REDIS_{name}", "") for name in ("HOST", "PORT", "DB", "PASSWORD")}
    login = f":{quote(told['PASSWORD'], safe='')}@" if told["PASSWORD"] else ""
    return f"redis://{login}{_host(told['HOST'])}:{told['PORT'] or 6379}/{told['DB'] or 0}"


def _parts() -> dict[str, str]:
    """What DB_HOST and the like say; nothing where neither host nor database is named."""
    told = {name: os.environ.get(f"DB_{name}", "") for name in ("HOST", "NAME", "USER", "PASSWORD", "PORT")}
    return told if told["HOST"] or told["NAME"] else {}


def _url(parts: Mapping[str, str]) -> str:
    """The URL of a database that was told in parts. Raises Misconfigured where one is missing."""
    if missing := [f"DB_{name}" for name in ("HOST", "NAME", "USER") if not parts[name]]:
        more = " ".join(f"{name}=…" for name in missing)
        raise Misconfigured(f"DB_… name a database without {', '.join(missing)}; type: export {more}, or {WHOLE}")
    port = parts["PORT"] or "5432"
    if not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise Misconfigured(f"DB_PORT={port!r} is no port, 1 to 65535; type: export DB_PORT=5432")
    login = quote(parts["USER"], safe="") + (f":{quote(parts['PASSWORD'], safe='')}" if parts["PASSWORD"] else "")
    return f"postgresql://{login}@{_host(parts['HOST'])}:{port}/{quote(parts['NAME'], safe='')}"


def _host(told: str) -> str:
    """A host as a URL has it: a name, an address of IPv6, a folder."""
    return f"[{told}]" if told.count(":") > 1 else quote(told, safe="")


def _words(problem: Any) -> str:
    """What is wrong with a setting and what to type; a value that may hold a password is not told."""
    field = str(problem["loc"][0])
    name = source(field) or f"FORETELL_{field.upper()}"
    if len(problem["loc"]) > 1:
        name = f"FORETELL_{'__'.join(map(str, problem['loc'])).upper()}"
    default = ForetellSettings.model_fields[field].default if field in ForetellSettings.model_fields else None
    told = str(problem["msg"]).removeprefix("Value error, ")
    if default in (None, {}):
        return f"{name}: {told}"
    return f"{name}={problem['input']}: {told}; type: export {name}={default}"
