"""How property-based tests run: the same examples every time, as many as a minute allows."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "xscat",
    deadline=None,
    derandomize=True,
    max_examples=15,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile("search", deadline=None, max_examples=200)
settings.load_profile("xscat")
