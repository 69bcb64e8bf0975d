"""All channels by name."""

from tieout.gateway.channels import Channel
from tieout.gateway.channels.canonical import Canonical
from tieout.gateway.channels.shopify_orders import ShopifyOrders

CHANNELS: dict[str, Channel] = {channel.name: channel for channel in (Canonical(), ShopifyOrders())}
