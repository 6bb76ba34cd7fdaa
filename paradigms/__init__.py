"""What learns: three modules of one shape, each a `Config` and a `train(config, run) -> Agent`."""
