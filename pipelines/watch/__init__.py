"""Evaluating every export while a training runs: what is next, the loop, what is remembered."""
