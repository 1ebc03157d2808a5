"""Settings for all tests: noisy machines must not fail a property for being slow."""

from hypothesis import settings

settings.register_profile("ddcam", deadline=None, derandomize=True)
settings.load_profile("ddcam")
