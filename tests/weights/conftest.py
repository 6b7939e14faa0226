from tests.weights.fake_hub import empty_machine, hub  # noqa: F401
