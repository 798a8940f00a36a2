"""The `headrace` command: thin click verbs, one module each; the work is done by the packages behind them."""
