"""What the environment may change."""

from tieout import servicekit


class Settings(servicekit.Settings, frozen=True):
    """Nothing beyond what every service has: finance's policies are data of each company, not of the process."""
