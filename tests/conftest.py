"""Makes the toys importable whichever way pytest is started, and hypothesis the same at every run."""

import sys
from pathlib import Path

from hypothesis import Phase, settings

ROOT = str(Path(__file__).parents[1])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

settings.register_profile(
    "house", derandomize=True, deadline=None, phases=(Phase.explicit, Phase.generate, Phase.shrink)
)
settings.load_profile("house")
