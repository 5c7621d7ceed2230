"""The analysis of a review: evidence, decision rules, findings."""
