"""Names in use where vulture does not look: what domains and third parties choose from. mypy sees that each exists."""

from foretell.models.averages import Averages
from foretell.models.boosted import BoostedChance, BoostedChoice, BoostedQuantiles
from foretell.models.naive import SeasonalNaive
from foretell.models.statistical import Statistical

Averages
BoostedChance
BoostedChoice
BoostedQuantiles
SeasonalNaive
Statistical
