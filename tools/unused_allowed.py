"""Names in use where vulture does not look: what domains and third parties choose from. mypy sees that each exists."""

from foretell.app.shelf import try_model
from foretell.cli import cli, demo, main
from foretell.domains.energy.engineer import FeatureEngineer as EnergyFeatures
from foretell.domains.energy.validation import DataValidator
from foretell.domains.traffic import DOMAIN
from foretell.domains.traffic.engineer import FeatureEngineer
from foretell.features.intervals import accumulated
from foretell.models.averages import Averages
from foretell.models.boosted import BoostedChance, BoostedChoice, BoostedQuantiles
from foretell.models.naive import SeasonalNaive
from foretell.models.statistical import Statistical
from foretell.settings import ForetellSettings
from foretell.web.server import create

Averages
BoostedChance
BoostedChoice
BoostedQuantiles
SeasonalNaive
Statistical
cli, demo, main  # called by the command line's own name
DOMAIN  # found by its entry point
ForetellSettings
accumulated  # for who has a weather model's own files
create  # called by name, in each process of a server
try_model  # called by name, in a process of its own
FeatureEngineer.add_time_features
FeatureEngineer.add_ramadan_features
FeatureEngineer.add_prayer_features
FeatureEngineer.add_rolling_features
FeatureEngineer.add_lag_features
EnergyFeatures.engineer_all_features
DataValidator.validate_dataframe
