"""What all tests share."""

from hypothesis import settings

# No test measures the wall clock: what one example takes says how busy the machine is. A run says something about a change only when the examples are the
# same before and after it; `make test-long` looks for others.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("exploring", deadline=None, max_examples=1000)
settings.load_profile("repeatable")
