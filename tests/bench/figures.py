"""The few statistics that the benches print."""

import math
import statistics


def summary(values):
    """Median, extremes, and the spread: (max - min) / median."""
    middle = statistics.median(values)
    low, high = min(values), max(values)
    return {
        "median": middle,
        "min": low,
        "max": high,
        "spread": (high - low) / middle if middle else 0.0,
    }


def percentile(values, percent):
    """The least value that so many percent of them do not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def round_ratios(numerators, denominators):
    """One ratio a round, so that what disturbs a whole round disturbs both of its figures."""
    return [a / b for a, b in zip(numerators, denominators, strict=True)]


def slope(times, values):
    """Least squares: units of `values` per unit of `times`; 0 for fewer than two instants."""
    if len(set(times)) < 2:
        return 0.0
    return statistics.linear_regression(times, values).slope


def busiest_to_quietest(counts):
    return max(counts) / min(counts) if min(counts) else float("inf")
