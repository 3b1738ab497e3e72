"""`python -m jaxgmm` is the command `jaxgmm`."""

from jaxgmm._cli.parser import run

if __name__ == "__main__":
    run()
