"""Comparisons that begin with data. It imports from all wings but plot, the door and above."""
