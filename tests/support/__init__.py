"""What tests share: fakes, builders, clocks, processes, and the upstream that they talk to."""
