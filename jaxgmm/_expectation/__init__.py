"""Expectations under a mixture and their errors. It imports only the wings below."""
