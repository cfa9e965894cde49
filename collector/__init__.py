"""The HTTP front: the tag, and the collector that answers only when a pageview is safe."""
