"""No clock in a property: a busy machine must not fail one."""

from hypothesis import settings

settings.register_profile("no clock", deadline=None)
settings.load_profile("no clock")
