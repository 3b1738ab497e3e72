"""Linear algebra, derivative rules and special functions. It imports no other subpackage."""
