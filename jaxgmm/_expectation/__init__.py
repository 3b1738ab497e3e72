"""Expectations under a mixture and their standard errors."""
