"""Images: references, registries, layers as read-only block images, the store of all of them."""
