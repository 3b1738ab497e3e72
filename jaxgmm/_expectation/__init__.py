"""Expectations under a mixture, and their errors. It imports the wings below."""
