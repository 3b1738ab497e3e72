"""These mutations break comparisons of samples."""

from mutation import Mutation

SAMPLES = [
    Mutation(
        "rows in the order in which they are given",
        "Pooled.of",
        "np.lexsort((sample, *rows.T[::-1]))",
        "np.arange(len(rows))",
        "test_two_sample.py",
    ),
    Mutation(
        "columns in their own units",
        "Pooled.of",
        "(rows - centre) / factor",
        "rows - centre",
        "test_two_sample.py",
    ),
    Mutation(
        "rows permuted instead of groups",
        "Pooled.of",
        "np.arange(len(rows)) if group is None else group[order]",
        "np.arange(len(rows))",
        "test_two_sample.py",
    ),
    Mutation(
        "rows of one sample counted for the other",
        "Pooled.packed",
        "np.bincount(self.point, of_rows)",
        "np.bincount(self.point, np.maximum(of_rows, 0.5 * weights[0]))",
        "test_two_sample.py",
    ),
    Mutation(
        "the observed value left out of its p value",
        "p_values",
        "(~(ranked < least)).mean(0)",
        "(~(ranked < least))[1:].mean(0)",
        "test_two_sample.py",
    ),
    Mutation(
        "columns of frames by their places",
        "with_columns",
        "[names.index(column) for column in wanted]",
        "[names.index(column) for column in names[: len(wanted)]]",
        "test_two_sample.py",
    ),
    Mutation(
        "an excess above 0 where the test says that it may be 0",
        "TwoSampleResult._of_chance",
        "not is_more",
        "False",
        "test_words.py",
    ),
    Mutation(
        "the rows of a component at the floor miscounted",
        "_at_floor",
        "sizes[:, None]",
        "sizes[:, None] / 2",
        "test_two_sample.py -k floor",
    ),
    Mutation(
        "open dots for what is more than chance",
        "two_samples",
        "p_value <= 0.05",
        "p_value > 0.05",
        "test_plot_results.py -k two_samples",
    ),
]
