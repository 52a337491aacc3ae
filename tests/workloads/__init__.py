"""Loads that know what they were promised, so that it can be checked afterwards."""
