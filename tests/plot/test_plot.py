"""What is drawn is right, and nothing but the axes is touched."""

import inspect
import math
import subprocess
import sys

import jax
import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from scipy.integrate import trapezoid

import jaxgmm
from jaxgmm import plot
from oracles import dense, quadrature
from support.mixtures import gmm
from support.pictures import LINE, PLANE, fit_result, noise, of_two_samples

PICTURES = {
    "densities": lambda **kw: plot.densities(*map(gmm, LINE), **kw),
    "integrand": lambda **kw: plot.integrand(*map(gmm, LINE), **kw),
    "contours": lambda **kw: plot.contours(*map(gmm, PLANE), **kw),
    "ellipses": lambda **kw: plot.ellipses(gmm(PLANE[0]), **kw),
    "log_ratio": lambda **kw: plot.log_ratio(*map(gmm, PLANE), **kw),
    "losses": lambda **kw: plot.losses(fit_result([3.0, 2.0, 1.0]), **kw),
    "convergence": lambda **kw: plot.convergence(
        noise, jax.random.key(0), *map(gmm, LINE), sizes=(16, 64), **kw
    ),
    "pairwise": lambda **kw: plot.pairwise(np.eye(2), **kw),
    "two_samples": lambda **kw: plot.two_samples(of_two_samples(0.05), **kw),
}


@pytest.mark.smoke
def test_every_picture_is_tried():
    assert set(PICTURES) == {
        name for name, value in vars(plot).items() if inspect.isfunction(value)
    }


@pytest.mark.parametrize("name", PICTURES)
def test_axes_given_are_those_returned(name, ax, monkeypatch):
    monkeypatch.setattr(pyplot, "subplots", lambda *args, **kwargs: pytest.fail("axes were given"))
    monkeypatch.setattr(pyplot, "gca", lambda *args, **kwargs: pytest.fail("axes were given"))
    assert PICTURES[name](ax=ax) is ax
    assert ax.has_data()
    ax.figure.canvas.draw()  # nothing warns


@pytest.mark.parametrize("name", PICTURES)
def test_a_new_figure_otherwise(name):
    drawn = PICTURES[name]()
    assert pyplot.get_fignums() == [drawn.figure.number]
    if name != "pairwise":
        assert drawn.get_xlabel()
        assert drawn.get_ylabel() or name == "two_samples"  # whose rows have names
    pyplot.close(drawn.figure)


@pytest.mark.parametrize("name", PICTURES)
def test_axes_are_checked(name):
    with pytest.raises(TypeError, match="ax must be matplotlib Axes, got Figure"):
        PICTURES[name](ax=matplotlib.figure.Figure())


@pytest.mark.parametrize("name", PICTURES)
def test_without_matplotlib(name, monkeypatch):
    for module in [module for module in sys.modules if module.split(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"jaxgmm\[plot\]"):
        PICTURES[name]()


def test_matplotlib_is_imported_on_demand():
    program = "import sys, jaxgmm; jaxgmm.plot.contours; print('matplotlib' in sys.modules)"
    assert (
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        ).stdout
        == "False\n"
    )


@pytest.mark.parametrize("name", ["densities", "integrand", "contours", "ellipses", "log_ratio"])
def test_dimensions_are_checked(name):
    three = jaxgmm.GMM.from_moments([1.0], [[0.0, 0.0, 0.0]], [1.0], "spherical")
    arguments = (three,) if name == "ellipses" else (three, three)
    with pytest.raises(
        ValueError, match=r"has 3 dimensions, and this picture has \d: draw jaxgmm.marginal\("
    ):
        getattr(plot, name)(*arguments)


def test_one_dimension_in_the_plane_is_refused():
    with pytest.raises(ValueError, match=r"p has one dimension.*jaxgmm\.plot\.densities"):
        plot.contours(gmm(LINE[0]))


@pytest.mark.smoke
def test_densities(ax):
    """Each line goes through the density of its own mixture, and covers nearly all of its mass."""
    for line, mixture, name in zip(PICTURES["densities"](ax=ax).lines, LINE, "pq", strict=True):
        x, y = line.get_data()
        np.testing.assert_allclose(y, np.exp(mixture.log_prob(x[:, None])), rtol=1e-12)
        np.testing.assert_allclose(trapezoid(y, x), 1, atol=1e-3)
        assert line.get_label() == f"${name}$"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["$p$", "$q$"]


def test_a_narrow_component_is_not_missed(ax):
    mixture = dense.mixture([0.9, 0.1], [0, 300], [1.0, 1e-6])
    (line,) = plot.densities(gmm(mixture), ax=ax).lines
    np.testing.assert_allclose(trapezoid(line.get_ydata(), line.get_xdata()), 1, atol=1e-3)
    np.testing.assert_allclose(
        line.get_ydata().max(), 0.1 / math.sqrt(2 * math.pi * 1e-6), rtol=1e-6
    )


def test_components_without_weight_are_left_out(ax):
    mixture = dense.mixture([1.0, 0.0], [[0, 0], [1e6, 1e6]], [np.eye(2), np.eye(2)])
    plot.contours(gmm(mixture), ax=ax)
    plot.ellipses(gmm(mixture), ax=ax)
    assert np.abs(ax.get_xlim()).max() < 5
    assert len(ax.patches) == 2


@pytest.mark.parametrize(("divergence", "truth"), [("kl", quadrature.kl), ("js", quadrature.js)])
def test_integrand(divergence, truth, ax):
    """Its values by SciPy's densities, and its area by quadrature."""
    p, q = LINE
    x, y = plot.integrand(gmm(p), gmm(q), divergence, ax=ax).lines[0].get_data()
    log_p, log_q, log_m = (mixture.log_prob(x[:, None]) for mixture in (p, q, dense.midpoint(p, q)))
    exact = {
        "kl": np.exp(log_p) * (log_p - log_q),
        "js": 0.5 * np.exp(log_p) * (log_p - log_m) + 0.5 * np.exp(log_q) * (log_q - log_m),
    }[divergence]
    np.testing.assert_allclose(y, exact, atol=1e-14)
    np.testing.assert_allclose(trapezoid(y, x), truth(p, q), atol=1e-3)
    assert "nats" in ax.get_ylabel()
    assert len(ax.collections) == (
        2 if divergence == "kl" else 1
    )  # the integrand of JS is nowhere negative


def test_divergence_is_checked():
    with pytest.raises(ValueError, match="divergence must be 'kl' or 'js'"):
        plot.integrand(*map(gmm, LINE), divergence="hellinger")


def test_regions_of_one_normal(ax):
    """Of two coordinates, the region that holds m is where the density is above 1 - m of its
    peak.
    """
    covariance = np.array([[2.0, 0.7], [0.7, 0.5]])
    plot.contours(gmm(dense.mixture([1.0], [[3, -1]], [covariance])), ax=ax)
    peak = 1 / (2 * np.pi * np.sqrt(np.linalg.det(covariance)))
    np.testing.assert_allclose(
        ax.collections[1].levels, peak * np.array([0.05, 0.2, 0.5]), rtol=0.05
    )


def test_contours(ax):
    """The lines are level sets of SciPy's density, and hold what they say of a sample."""
    PICTURES["contours"](ax=ax)
    _, lines_of_p, lines_of_q = ax.collections
    for lines, mixture in [(lines_of_p, PLANE[0]), (lines_of_q, PLANE[1])]:
        densities = np.exp(mixture.log_prob(mixture.sample(np.random.default_rng(0), 20_000)))
        for level, path, mass in zip(
            lines.levels, lines.get_paths(), (0.95, 0.8, 0.5), strict=True
        ):
            np.testing.assert_allclose(np.exp(mixture.log_prob(path.vertices)), level, rtol=0.03)
            error = math.sqrt(mass * (1 - mass) / 20_000)
            assert (
                abs(np.mean(densities >= level) - mass) < 5 * error + 0.004
            )  # what lies beyond the grid
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["$p$", "$q$"]


def test_ellipses(ax):
    """Semi-axes are r times the roots of NumPy's eigenvalues, along its eigenvectors."""
    mixture = PLANE[0]
    plot.ellipses(gmm(mixture), ax=ax, linestyle=":")
    expected = [(k, r) for k in range(2) for r in (1, 2)]
    for (k, r), ellipse in zip(expected, ax.patches, strict=True):
        values, vectors = np.linalg.eigh(mixture.covariances[k])
        np.testing.assert_allclose(ellipse.center, mixture.means[k])
        np.testing.assert_allclose(
            sorted((ellipse.width, ellipse.height)), 2 * r * np.sqrt(values), rtol=1e-12
        )
        along = np.array(
            [math.cos(math.radians(ellipse.angle)), math.sin(math.radians(ellipse.angle))]
        )
        longest = vectors[:, 1] if ellipse.width > ellipse.height else vectors[:, 0]
        np.testing.assert_allclose(abs(along @ longest), 1, rtol=1e-12)
        assert ellipse.get_linestyle() == ":"
    assert ax.patches[2].get_linewidth() > ax.patches[0].get_linewidth()  # which weighs less


def test_log_ratio(ax):
    """Its lines are level sets of SciPy's log-ratio; colours are symmetric about 0, and end where
    the mass does.
    """
    p, q = PLANE
    PICTURES["log_ratio"](ax=ax)
    field, lines = ax.collections
    np.testing.assert_allclose(field.levels, -field.levels[::-1], atol=1e-12)
    for level, path in zip(lines.levels, lines.get_paths(), strict=True):
        np.testing.assert_allclose(
            p.log_prob(path.vertices) - q.log_prob(path.vertices), level, atol=0.05
        )
    x = np.concatenate([mixture.sample(np.random.default_rng(1), 5_000) for mixture in (p, q)])
    inside = np.mean(np.abs(p.log_prob(x) - q.log_prob(x)) <= field.levels.max())
    assert 0.985 < inside < 1
    assert "nats" in ax.figure.axes[1].get_ylabel()


def test_log_ratio_of_equal_mixtures(ax):
    p = gmm(PLANE[0])
    np.testing.assert_allclose(plot.log_ratio(p, p, ax=ax).collections[0].levels[[0, -1]], [-1, 1])


@pytest.mark.parametrize("name", ["contours", "log_ratio", "densities"])
def test_names_and_a_choice_of_coordinates(name, ax):
    p, q = (jaxgmm.GMM.random(jax.random.key(i), 2, 3) for i in range(2))
    columns, dims = ["height", "width", "mass"], (2, 0)[: 1 + (name != "densities")]
    options = {"labels": ["May", "June"], "columns": columns, "dims": dims}
    getattr(plot, name)(p, q, ax, **options)
    assert ax.get_xlabel() == "mass"
    assert ax.get_ylabel() == ("density" if name == "densities" else "height")
    if name == "log_ratio":
        assert ax.figure.axes[1].get_ylabel() == "log May - log June (nats)"
    else:
        assert [text.get_text() for text in ax.get_legend().get_texts()] == ["May", "June"]
    if name == "densities":
        x, y = ax.lines[1].get_data()
        np.testing.assert_allclose(
            y, np.exp(jaxgmm.log_prob(jaxgmm.marginal(q, (2,)), x[:, None])), rtol=1e-6
        )
    for wrong in ({"labels": ["May"]}, {"columns": ["height"]}, {"dims": (3,)}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            getattr(plot, name)(p, q, ax, **options | wrong)


def test_names_of_coordinates_of_components_and_integrands(ax):
    """Ellipses keep the names that the axes have, and take others where they are given."""
    three = jaxgmm.GMM.from_moments([1.0], [[0.0, 5.0, 9.0]], [[1.0, 4.0, 9.0]], "diag")
    names = ["ink", "width", "height"]
    plot.contours(three, ax=ax, columns=names, dims=(0, 2))
    plot.ellipses(three, ax=ax, dims=(0, 2))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("ink", "height")
    assert ax.patches[-1].center == (0.0, 9.0)
    plot.ellipses(three, ax=ax, columns=names, dims=(0, 1))
    assert ax.get_ylabel() == "width"
    ax.clear()
    plot.ellipses(three, ax=ax, dims=(0, 2))
    assert ax.get_ylabel() == "$x_{3}$"
    ax.clear()
    plot.integrand(three, three, ax=ax, labels=["May", "June"], columns=names, dims=(1,))
    assert (ax.get_xlabel(), ax.get_title()) == ("width", "$p$: May, $q$: June")
    assert ax.get_ylabel().endswith("(nats per unit of width)")
