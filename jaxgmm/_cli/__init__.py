"""The command `jaxgmm`, which uses the package by its public names."""
