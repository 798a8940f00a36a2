"""The parts of the demo: what it starts, what it drives, what it shows and how it proves the round trip."""
