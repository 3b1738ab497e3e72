"""Checks of arguments. It knows no type of the package and imports no other subpackage."""
