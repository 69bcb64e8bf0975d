"""What the environment may change."""

from tieout import servicekit


class Settings(servicekit.Settings, frozen=True):
    """Nothing beyond what every service has: order has no policies of its own."""
