"""Every platform that can be connected to: an adapter's file, and its line here."""

from collections.abc import Mapping
from typing import Final

from loyalty.channels import douyin, tmall
from loyalty.channels.messages import Adapter

ADAPTERS: Final[Mapping[str, Adapter]] = {
    "douyin": douyin,
    "tmall": tmall,
}
