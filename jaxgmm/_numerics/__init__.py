"""Linear algebra, derivative rules and special functions of arrays. It imports no other wing."""
