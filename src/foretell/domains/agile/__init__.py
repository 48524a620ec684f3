"""Agile: effort, points, sprints, people, and the honesty to say when nothing is known."""
