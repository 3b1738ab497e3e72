"""Checks of arguments. This subpackage imports no other, and knows no type of theirs."""
