"""Rules over windows of the event stream: counts, rates, ratios and distinct values, live and tried on the past.

The rules, their meaning and every decision are pure (rules.py, evaluator.py): they are fed records and event time, and
read no clock. A live run on Quix Streams and a backtest over the archive feed the same
code, so that both come to the same answer.
"""
