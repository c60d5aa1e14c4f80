"""What all tests share."""

from hypothesis import settings

# No test measures the wall clock: what one example takes says how busy the machine is.
settings.register_profile("trueloop", deadline=None)
settings.load_profile("trueloop")
