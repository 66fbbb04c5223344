"""Scores of separators: museval's BSSEval v4 and the paper's statistics."""
