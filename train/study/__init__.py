"""Recipes against each other over seeds, with intervals: `python -m train.study NAME`.

A study is a short file: which recipes, with which settings and seeds, and what is measured. Running it trains and
evaluates what is missing, and writes a table, its numbers as JSON, and a plot.
"""
