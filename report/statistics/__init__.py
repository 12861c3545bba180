"""Statistics over scores: intervals, comparisons, ranks, aggregates."""
