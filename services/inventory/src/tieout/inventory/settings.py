"""What inventory can be told from outside: nothing but what every service can."""

from tieout import servicekit


class Settings(servicekit.Settings, frozen=True, kw_only=True):
    pass
