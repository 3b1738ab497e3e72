"""Pictures of fits, of estimates and of matrices of divergences."""

import itertools
import math

import jax
import numpy as np
import pytest
from matplotlib import pyplot

import jaxgmm
from jaxgmm import plot
from support.mixtures import gmm
from support.pictures import LINE, fit_result, noise, of_two_samples


def test_losses(ax):
    """Each loss, and the running mean."""
    losses = np.random.default_rng(0).normal(size=200)
    raw, mean = plot.losses(fit_result(losses), ax=ax).lines
    np.testing.assert_array_equal(raw.get_ydata(), losses)
    np.testing.assert_allclose(
        mean.get_ydata(),
        [losses[i - 3 : i + 1].mean() for i in mean.get_xdata()],
        rtol=1e-10,
        atol=1e-12,
    )
    assert mean.get_xdata()[-1] == 199


def test_losses_of_a_stack(ax):
    """The mean is that of the start that ends lowest, and not of one that diverged."""
    drawn = plot.losses(fit_result([[3.0, 2.0], [3.0, 1.0], [0.0, np.nan], [0.0, np.inf]]), ax=ax)
    np.testing.assert_array_equal(drawn.lines[-1].get_ydata(), [3.0, 1.0])
    assert len(ax.get_legend().get_texts()) == 2


def test_losses_are_checked():
    with pytest.raises(TypeError, match=r"what jaxgmm\.fit returns, got list"):
        plot.losses([1.0])
    with pytest.raises(ValueError, match="took no step"):
        plot.losses(fit_result([]))


@pytest.mark.long
def test_convergence(ax):
    """Of noise with standard deviation 1 / sqrt(n), the error of one run is just that."""
    rules = {"a": jaxgmm.MonteCarlo, "b": lambda n: jaxgmm.MonteCarlo(4 * n)}
    p, q = map(gmm, LINE)
    drawn = plot.convergence(
        noise, jax.random.key(1), p, q, rules, (16, 4096), ax, num_replicates=256
    )
    a, b, half, one = drawn.lines
    for line, divisor in [(a, 1), (b, 2)]:
        np.testing.assert_array_equal(line.get_xdata(), [16, 4096])
        np.testing.assert_allclose(
            line.get_ydata() * np.sqrt([16, 4096]) * divisor, 1, atol=5 / math.sqrt(2 * 255)
        )
    for guide, slope in [(half, -0.5), (one, -1)]:
        np.testing.assert_allclose(np.diff(np.log(guide.get_ydata())) / math.log(256), slope)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "a",
        "b",
        "$n^{-1/2}$",
        "$n^{-1}$",
    ]


@pytest.mark.long
def test_convergence_of_one_mixture(ax):
    plot.convergence(
        lambda key, p, rule: noise(key, p, p, rule),
        jax.random.key(1),
        gmm(LINE[0]),
        sizes=(16, 64),
        ax=ax,
    )
    assert len(ax.lines) == 4


def test_convergence_is_checked():
    p, q = map(gmm, LINE)
    with pytest.raises(TypeError, match="rules must map names"):
        plot.convergence(noise, jax.random.key(0), p, q, [jaxgmm.Sobol])
    with pytest.raises(ValueError, match="draws nothing"):
        plot.convergence(
            noise, jax.random.key(0), p, q, {"Gauss-Hermite": jaxgmm.GaussHermite}, (8,)
        )


def test_pairwise(ax):
    """Every value stands at its own place, under its own names."""
    matrix = np.array([[0.0, 0.123, 9.0], [1.0, 2.0, 3.0]])
    plot.pairwise(matrix, ["a", "b"], ax, column_labels=["c", "d", "e"], unit="bits")
    np.testing.assert_array_equal(ax.images[0].get_array(), matrix)
    written = {text.get_position(): float(text.get_text()) for text in ax.texts}
    assert written == {(j, i): float(f"{matrix[i, j]:.2g}") for i in range(2) for j in range(3)}
    assert [text.get_text() for text in ax.get_yticklabels()] == ["a", "b"]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["c", "d", "e"]
    assert ax.figure.axes[1].get_ylabel() == "bits"


def test_values_are_readable_on_their_colours(ax):
    """Black on light and white on dark: luminances that differ by more than 0.3."""
    plot.pairwise(np.linspace(0, 1, 25).reshape(5, 5), ax=ax)
    image = ax.images[0]
    for text in ax.texts:
        column, row = text.get_position()
        luminance = (
            np.array([0.299, 0.587, 0.114]) @ image.to_rgba(image.get_array())[row, column, :3]
        )
        assert abs(luminance - (text.get_color() == "white")) > 0.3


def test_matrices_are_checked():
    with pytest.raises(ValueError, match=r"matrix must have shape \(N, M\), got \(3,\)"):
        plot.pairwise([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="labels must be 2"):
        plot.pairwise(np.eye(2), ["a"])
    with pytest.raises(ValueError, match="matrix holds NaN"):
        plot.pairwise([[np.nan]])


@pytest.mark.parametrize("count", [3, 12, 60])
def test_labels_and_values_of_a_matrix_do_not_overlap(count):
    names = [f"month {i:02d}" for i in range(count)]
    matrix = np.random.default_rng(0).gamma(1, size=(count, count))
    picture = plot.pairwise(matrix, names)
    picture.figure.draw_without_rendering()
    assert [text.get_text() for text in picture.get_yticklabels()] == names
    assert len(picture.texts) == (count**2 if count <= 16 else 0)
    for texts, axis in (
        (picture.get_xticklabels(), 0),
        (picture.get_yticklabels(), 1),
        (picture.texts[:count], 0),
    ):
        boxes = sorted(tuple(text.get_window_extent().get_points()[:, axis]) for text in texts)
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(boxes))
    pyplot.close(picture.figure)


def test_two_samples(ax):
    """The value and its range by chance, one row for all columns and one for each."""
    columns = {
        "ink": jaxgmm.Column(0.2, 0.7, 0.1, 0.8, (0.0, 0.4), (1.0, 2.0)),
        "width": jaxgmm.Column(0.6, 0.01, 0.1, 0.8, (0.1, 0.4), (1.0, 2.0)),
    }
    drawn = plot.two_samples(of_two_samples(0.03, columns), ax=ax)
    ranges, values = drawn.lines[::2], drawn.lines[1::2]
    expected = [(0.105, 0.295), (0.0, 0.4), (0.1, 0.4)]
    np.testing.assert_allclose([line.get_xdata() for line in ranges], expected)
    np.testing.assert_allclose(np.ravel([line.get_xdata() for line in values]), [0.5, 0.2, 0.6])
    is_open = [line.get_markerfacecolor() == "white" for line in values]
    assert is_open == [False, True, False]
    names = [text.get_text() for text in ax.get_yticklabels()]
    assert names == ["all columns", "ink alone", "width alone"]
    assert [text.get_text() for text in ax.texts] == ["p = 0.03", "p = 0.7", "p = 0.01"]
    assert ax.get_xlim()[0] <= 0 < 0.6 < ax.get_xlim()[1]


def test_two_samples_are_checked():
    with pytest.raises(TypeError, match=r"what jaxgmm\.two_sample_test returns, got float"):
        plot.two_samples(0.5)
    with pytest.raises(ValueError, match="no chance: test with num_permutations"):
        plot.two_samples(of_two_samples(None))
