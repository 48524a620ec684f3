"""What can be in a race, for any domain; and what turns raw forecasts into honest ones."""
