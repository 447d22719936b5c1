"""How fast, how small: `python -m benchmarks [--quick]`. Outermost; nothing imports it."""
