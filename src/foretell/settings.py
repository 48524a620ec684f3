"""Every setting, one class. Each can be given as an environment variable `FORETELL_<NAME>`."""

from __future__ import annotations

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


class ForetellSettings(BaseSettings):
    """What a process is told from outside."""

    model_config = SettingsConfigDict(env_prefix="FORETELL_", extra="ignore")

    home: Path | None = None  # folder of our own PostgreSQL and of model files; the platform's place for a user's data
    database: str | None = (
        None  # postgresql://… of another PostgreSQL (16 or newer), for a login without special rights
    )
    database_owner: str | None = (
        None  # the same database for one that may make roles and tables, to migrate and back up
    )
    blobs: str | None = None  # where model files go: file:///a/folder or s3://bucket/prefix; in `home` if not given
    bench_data: Path | None = None  # folder of the public data sets that the benchmarks read
    secret: str | None = None  # that tokens are signed with; in `home` if not given, which an outside database forbids
    secret_before: str | None = None  # another that they may be signed with, while the secret is changed
    issuer: str = "foretell"  # what tokens must say in `iss`
    audience: str = "foretell"  # and in `aud`
