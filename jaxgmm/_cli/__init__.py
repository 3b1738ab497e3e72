"""The command `jaxgmm`. It imports the public names of the package."""
