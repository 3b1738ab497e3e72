"""Linear algebra, derivative rules and special functions on arrays. It imports nothing of the package."""
