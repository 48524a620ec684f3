"""Feast's historical retrieval of rows that are made already, by the Python that has Feast: `feasted.py STORE FOLDER`.

FOLDER has the questions, and the rows of each feature view, as Parquet; the answer is written there. The figures are
printed as a line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import timedelta
from pathlib import Path

import pandas as pd
from feast import Entity, FeatureStore, FeatureView, FileSource, RepoConfig, ValueType  # type: ignore[import-not-found, unused-ignore]


def main(kind: str, folder: Path) -> dict[str, float]:
    """Seconds of the retrieval alone: neither imports nor the register of views count."""
    (folder / f"registry-{kind}.db").unlink(missing_ok=True)
    store = FeatureStore(
        config=RepoConfig(
            project="bench", provider="local", registry=str(folder / f"registry-{kind}.db"),
            offline_store={"type": kind}, online_store=None, entity_key_serialization_version=3, repo_path=folder,
        )
    )  # fmt: skip
    person = Entity(name="entity", join_keys=["entity"], value_type=ValueType.STRING)
    views = [
        FeatureView(
            name=path.stem.removeprefix("rows-"), entities=[person], ttl=timedelta(0),
            source=FileSource(path=str(path), timestamp_field="event_timestamp"),
        )
        for path in sorted(folder.glob("rows-*.parquet"))
    ]  # fmt: skip
    store.apply([person, *views])
    wanted = [f"{view.name}:{one.name}" for view in store.list_feature_views() for one in view.features]
    asked = pd.read_parquet(folder / "questions.parquet")
    start = time.perf_counter()
    found = store.get_historical_features(entity_df=asked, features=wanted).to_df()
    seconds = time.perf_counter() - start
    found.to_parquet(folder / f"answer-{kind}.parquet")
    return {"seconds": seconds, "features": len(wanted)}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]))))
