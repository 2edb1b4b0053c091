"""Recipes: the options of YAML files, checked as they are read."""
