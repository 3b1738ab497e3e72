"""The command `jaxgmm`, run by `python -m jaxgmm`."""

from jaxgmm._cli.parser import run

if __name__ == "__main__":
    run()
