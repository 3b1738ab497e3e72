import re
import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def output():
    """With warnings as errors, and JAX as a user has it."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-m", "jaxgmm"], capture_output=True, text=True, timeout=200
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def numbers(output: str, name: str) -> list[list[float]]:
    """The value and standard error of each line of that name."""
    return [
        [float(a), float(b)]
        for a, b in re.findall(rf"{re.escape(name)}\s+(\S+) \+- (\S+) nats", output)
    ]


def test_it_ends_with_what_to_type_next(output):
    last = output.splitlines()[-5:]
    assert any(line.startswith("  jaxgmm compare A.csv B.csv") for line in last)
    assert last[-1].startswith("  print(jaxgmm.two_sample_test(")


def test_divergences_are_between_the_bounds(output):
    (there, after), (back,), (js,) = (
        numbers(output, name) for name in ("KL(p || q)", "KL(q || p)", "JS(p, q)")
    )
    assert all(0 < error < 1e-3 for _, error in (there, after, back, js))
    assert 0 < js[0] < min(0.6931, (there[0] + back[0]) / 4)  # JS is at most a quarter of Jeffreys


def test_closed_form_is_met(output):
    ((value, error),) = numbers(output, "KL(a || b)")
    exact, off = re.search(r"exact\s+(\S+) .*off by (\S+) standard errors", output).groups()
    assert float(off) < 5
    assert abs(value - float(exact)) <= 5 * error + 1e-5


def test_the_fit_drives_the_divergence_down(output):
    losses = [float(loss) for loss in re.findall(r"step +\d+ +KL +(\S+)", output)]
    assert len(losses) == 6
    assert losses[-1] < 0.5 * losses[0]
    before, after = numbers(output, "KL(p || q)")
    assert after[0] < 0.5 * before[0]
