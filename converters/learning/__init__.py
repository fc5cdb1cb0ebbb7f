"""What a network learns from and how: lessons, losses, rates, Adam. For any kind of network."""
