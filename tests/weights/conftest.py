from tests.fakes.hub import empty_machine, hub  # noqa: F401
