"""What can be measured of a network, a file a part."""
