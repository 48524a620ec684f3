"""Every setting, one class. Each can be given as an environment variable `FORETELL_<NAME>`."""

from __future__ import annotations

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


class ForetellSettings(BaseSettings):
    """What a process is told from outside."""

    model_config = SettingsConfigDict(env_prefix="FORETELL_", extra="ignore")

    bench_data: Path | None = None  # folder of the public data sets that the benchmarks read
