"""Linear algebra, special functions and transformations. It imports no other subpackage."""
